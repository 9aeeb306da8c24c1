"""A pack: the claims of one paper, what they are tested on, and the paper's own numbers beside them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Protocol, final

from moe_claims.judge.claim import Claim, PaperSays, Printed, key_of
from moe_claims.judge.judged import Judged
from moe_claims.settings import Settings
from moe_claims.types import Audit

Auditor = Callable[[Settings], Audit]

_ID = re.compile(r"[a-z][a-z0-9_]*")
_CLAIM_ID = re.compile(r"[a-z][a-z0-9-]*")
_OF_A_MODEL = ("weights", "text", "texts")
_FAMILIES_OF_A_MODEL = ("headline", "secondary")


@final
@dataclass(frozen=True)
class Case:
    """One test: a variant of a claim, on one model and one text."""

    evidence: str
    """``live``, or the name of another evidence of the pack."""
    claim: str
    variant: str | None = None
    model: str | None = None
    """None where the evidence is of one body of models."""
    corpus: str | None = None
    """None for claims on weights alone, and where the evidence has one text."""

    @property
    def name(self) -> str:
        """How a test of this claim is told from its others."""
        model = self.model if self.evidence == "live" or self.model is None else self.model.partition("/")[2]
        return "-".join(part for part in (model, self.corpus, self.variant) if part)


class Session(Protocol):
    """Who opens, measures and judges models, once each."""

    @property
    def settings(self) -> Settings:
        """The run's options."""
        ...

    def judged(self, pack: "Pack", model: str) -> Judged:
        """All rows of a pack on a model that the run names.

        Raises:
            MoeClaimsError: the model cannot be opened or its weights measured.
        """
        ...


class Evidence(Protocol):
    """A body of evidence that claims are judged on: models measured here, published counts, trainings, pairs."""

    @property
    def name(self) -> str:
        """One word, which rows carry as ``evidence``."""
        ...

    @property
    def title(self) -> str:
        """Heading of its rows in a report."""
        ...

    @property
    def claims(self) -> Mapping[str, Claim]:
        """The claims that it speaks of, by their ids."""
        ...

    def cases(self, claim: Claim, settings: Settings) -> Sequence[Case]:
        """The tests of one of its claims in a run."""
        ...

    def judged(self, pack: "Pack", case: Case, session: Session) -> Judged:
        """The rows that a case is among, corrected together.

        Raises:
            MoeClaimsError: there are none.
        """
        ...


@final
@dataclass(frozen=True)
class Live:
    """Models that are measured on this machine."""

    claims: Mapping[str, Claim]
    name: str = "live"
    title: str = "Live"

    def cases(self, claim: Claim, settings: Settings) -> Sequence[Case]:
        """A test per model, variant, and text where the variant needs one."""
        return [
            Case(self.name, claim.id, variant, ref.name, text)
            for ref in settings.models
            for variant in claim.variants
            for text in (settings.texts if claim.needs_of(variant) == "text" else (None,))
        ]

    def judged(self, pack: "Pack", case: Case, session: Session) -> Judged:
        """All rows of the case's model."""
        assert case.model is not None
        return session.judged(pack, case.model)


@final
@dataclass(frozen=True, eq=False)
class Pack:
    """The claims of one paper.

    Raises:
        ValueError: an id cannot be used or is there twice, or a claim asks for what no model gives.
    """

    id: str
    """Lower-case letters, digits and underscores: rows know a claim as ``id/claim``."""
    title: str
    """Of the paper."""
    paper: str
    """Where it is, such as ``arXiv 2406.18219``."""
    claims: tuple[Claim, ...]
    """Those on models that are measured here, in the order of the report."""
    evidence: tuple[Evidence, ...] = ()
    """Further evidence, with claims of its own."""
    audits: Mapping[str, Auditor] = field(default_factory=dict)
    """By id, in the order of the report: checks of the paper's printed numbers and of its code."""
    models: Callable[[], Mapping[str, str]] | None = None
    """Gives the models that the paper treats: id on the hub → the key that ``paper_says`` and ``printed`` use."""
    sequences: int | None = None
    """How many the paper ran its models on, for a standard error where it prints none; None if it does not say."""
    tests: str | None = None
    """Package whose test modules judge the claims; None where the suite's own test does."""
    seed_prefix: str | None = None
    """Before a claim's name in what seeds its test; by default ``id/``. Empty for the first pack alone, whose numbers
    were published before there were packs."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"a pack's id is lower-case letters, digits and underscores, not '{self.id}'")
        for evidence in self.kinds.values():
            for claim in evidence.claims.values():
                if not _CLAIM_ID.fullmatch(claim.id):
                    raise ValueError(f"a claim's id is lower-case letters, digits and hyphens, not '{claim.id}'")
                if claim.version < 1 or claim.smallest == 0:
                    raise ValueError(f"{claim.id}: a version is 1 or more, and a smallest effect of interest is not 0")
        if len(self.live) < len(self.claims):
            raise ValueError(f"pack '{self.id}' has two claims of one id")
        for claim in self.claims:
            if claim.needs not in _OF_A_MODEL or claim.family not in _FAMILIES_OF_A_MODEL:
                raise ValueError(
                    f"{claim.id}: a claim on a model needs one of {', '.join(_OF_A_MODEL)} and is of the family "
                    f"{' or '.join(_FAMILIES_OF_A_MODEL)}, not '{claim.needs}' and '{claim.family}'"
                )

    @cached_property
    def live(self) -> Mapping[str, Claim]:
        """The claims on models that are measured here, by id."""
        return {claim.id: claim for claim in self.claims}

    @cached_property
    def kinds(self) -> Mapping[str, Evidence]:
        """All evidence by name, ``live`` first."""
        return {"live": Live(self.live), **{evidence.name: evidence for evidence in self.evidence}}

    def records(self) -> Iterator[tuple[str, Claim]]:
        """Evidence and record of every claim."""
        for name, evidence in self.kinds.items():
            yield from ((name, claim) for claim in evidence.claims.values())

    def key(self, claim: str) -> str:
        """How rows know a claim: ``pack/claim``."""
        return f"{self.id}/{claim}"

    def seed_name(self, claim: str, variant: str | None) -> str:
        """What, with the run's seed, seeds one test: it depends on no other test and on no order."""
        prefix = f"{self.id}/" if self.seed_prefix is None else self.seed_prefix
        return prefix + key_of(claim, variant)

    def paper_model(self, hub_id: str | None) -> str | None:
        """The paper's key of a model on the hub; None if the paper does not treat it."""
        return None if hub_id is None or self.models is None else self.models().get(hub_id)

    def paper_says(self, claim: Claim, hub_id: str | None) -> PaperSays:
        """Whether the paper takes a claim to hold for this very model; ``holds`` where it does not treat the model."""
        return claim.paper_says.get(self.paper_model(hub_id) or "", "holds")

    def published_value(self, claim: Claim, variant: str | None, hub_id: str | None) -> dict[str, Any] | None:
        """What the paper prints for this claim and this very model, or None.

        ``none`` is the value of no effect, ``paper_says`` whether the paper takes the claim to hold,
        ``standard_error`` None where nothing printed gives one. ``companions`` holds the same (less
        ``model`` and ``paper_says``) for further estimates.
        """
        model = self.paper_model(hub_id)
        printed = claim.printed(model, variant) if model is not None and claim.printed is not None else None
        if printed is None or model is None:
            return None
        found = as_published(printed, model, self.paper_says(claim, hub_id))
        return found | {"none": claim.smallest} if claim.rule == "level" else found

    def described(self) -> dict[str, Any]:
        """What a results document says of the pack."""
        evidence = {kind.name: kind.title for kind in self.evidence}
        return {"id": self.id, "title": self.title, "paper": self.paper, "evidence": evidence}


def as_published(printed: Printed, model: str, paper_says: PaperSays) -> dict[str, Any]:
    """A printed value as a row carries it: of which model, and whether the claim is said to hold there."""
    found = asdict(printed)
    for companion in found["companions"].values():
        del companion["companions"]
    return {"model": model, "paper_says": paper_says, **found}
