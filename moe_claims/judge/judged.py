"""``Judged``: the results of judging one model, or one set of published evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from moe_claims.judge.claim import key_of
from moe_claims.types import Result


@final
@dataclass(frozen=True)
class Broken:
    """One test without a row because of an error, such as an unusable file or an exception in an estimator."""

    claim: str
    variant: str | None
    corpus: str | None
    message: str
    """The error, in one line."""
    model: str = ""
    """Name of the model; empty where it is not known, because a file of results cannot be used."""

    @property
    def key(self) -> str:
        """``claim[variant]``."""
        return key_of(self.claim, self.variant)

    @property
    def test(self) -> str:
        """``claim[variant]``, and the text where there is one."""
        return self.key + (f" on '{self.corpus}'" if self.corpus else "")


@final
@dataclass(frozen=True, eq=False)
class Judged:
    """The rows of one pack, with the cards and figures of the model and texts they were measured on."""

    results: tuple[Result, ...]
    broken: tuple[Broken, ...] = ()
    card: Mapping[str, Any] | None = None
    """Card (provenance) of the measured model; None for published evidence."""
    corpora: tuple[Mapping[str, Any], ...] = ()
    """Cards of the texts that the model was run on."""
    pictures: Mapping[str, Any] | None = None
    """Figures of the model, or the reason why there are none; None if none were asked for."""

    def find(self, claim: str, variant: str | None, model: str | None, corpus: str | None) -> Result | str:
        """The row of one test, or the error message if the test has none.

        Args:
            claim: id of the claim.
            variant: variant of the claim.
            model: name of the model; None matches any.
            corpus: name of the text; None matches any.

        Raises:
            LookupError: there is neither a row nor a message.
        """
        for row in self.results:
            here = model in (None, row.model) and corpus in (None, row.corpus)
            if (row.claim, row.variant) == (claim, variant) and here:
                return row
        for one in self.broken:
            here = model in (None, one.model) and corpus in (None, one.corpus)
            if (one.claim, one.variant) == (claim, variant) and here:
                return one.message
        raise LookupError(f"no row of {key_of(claim, variant)} on {model or 'any model'} and {corpus or 'any text'}")
