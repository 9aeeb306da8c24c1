"""What judging one model, or one body of published evidence, came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from moe_claims.judge.claim import key_of
from moe_claims.types import Result


@final
@dataclass(frozen=True)
class Broken:
    """One test that has no row because something broke: a file that cannot be used, a fault in an estimator."""

    claim: str
    variant: str | None
    corpus: str | None
    message: str
    """One line."""

    @property
    def key(self) -> str:
        """``claim[variant]``."""
        return key_of(self.claim, self.variant)


@final
@dataclass(frozen=True, eq=False)
class Judged:
    """The rows of one pack, and what the report says about what they were measured on."""

    results: tuple[Result, ...]
    broken: tuple[Broken, ...] = ()
    card: Mapping[str, Any] | None = None
    """Of the model that was measured; None for evidence that others published."""
    corpora: tuple[Mapping[str, Any], ...] = ()
    """A card of each text that the model was run on."""
    pictures: Mapping[str, Any] | None = None
    """Figures of the model, or the reason why there are none; None where none were asked for."""

    def find(self, claim: str, variant: str | None, model: str | None, corpus: str | None) -> Result | str:
        """The row of one test, or the message of what broke.

        Args:
            claim: its id.
            variant: of the claim.
            model: None where the evidence is of one body of models.
            corpus: text; None where the evidence is of one text, or of none.

        Raises:
            LookupError: neither a row nor a message is there.
        """
        for row in self.results:
            here = model in (None, row.model) and corpus in (None, row.corpus)
            if (row.claim, row.variant) == (claim, variant) and here:
                return row
        for one in self.broken:
            if (one.claim, one.variant) == (claim, variant) and corpus in (None, one.corpus):
                return one.message
        raise LookupError(f"no row of {key_of(claim, variant)} on {model or 'any model'} and {corpus or 'any text'}")
