"""``Pack``: the claims of one paper, the evidence they are tested on, and the numbers that the paper prints."""

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
"""Runs one audit under the options of a run."""

_ID = re.compile(r"[a-z][a-z0-9_]*")
_CLAIM_ID = re.compile(r"[a-z][a-z0-9-]*")
_OF_A_MODEL = ("weights", "text", "texts")
"""``Claim.needs`` of claims on models that are measured in the run."""
_FAMILIES_OF_A_MODEL = ("headline", "secondary")
"""``Claim.family`` of claims on models that are measured in the run."""


@final
@dataclass(frozen=True)
class Case:
    """One test: a variant of a claim, on one model and one text."""

    evidence: str
    """Kind of evidence: ``live``, or the name of further evidence of the pack."""
    claim: str
    variant: str | None = None
    model: str | None = None
    """Name of the model; None if the evidence is about one fixed set of models."""
    corpus: str | None = None
    """Name of the text; None for claims on weights alone and if the evidence has one text only."""

    @property
    def name(self) -> str:
        """Suffix that tells this test from others of the same claim: model, text and variant, joined by ``-``."""
        model = self.model if self.evidence == "live" or self.model is None else self.model.partition("/")[2]
        return "-".join(part for part in (model, self.corpus, self.variant) if part)

    @property
    def test(self) -> str:
        """``claim[variant]``, and the text where there is one; errors name a test so."""
        return key_of(self.claim, self.variant) + (f" on '{self.corpus}'" if self.corpus else "")


class Session(Protocol):
    """The part of ``run.session.Session`` that evidence uses: it opens, measures and judges each model once."""

    @property
    def settings(self) -> Settings:
        """The run's options."""

    def judged(self, pack: "Pack", model: str) -> Judged:
        """All rows of a pack on one of the run's models.

        Raises:
            MoeClaimsError: the model cannot be opened or its weights measured.
        """


class Evidence(Protocol):
    """A kind of evidence that claims are judged on: models measured in the run, published counts, or trainings."""

    @property
    def name(self) -> str:
        """One word, stored in the field ``evidence`` of result rows."""

    @property
    def title(self) -> str:
        """Heading of these rows in reports."""

    @property
    def claims(self) -> Mapping[str, Claim]:
        """The claims that this evidence can test, by id."""

    def cases(self, claim: Claim, settings: Settings) -> Sequence[Case]:
        """The tests of one of these claims in a run."""

    def judged(self, pack: "Pack", case: Case, session: Session) -> Judged:
        """The rows of the family that a case belongs to, whose p-values are corrected together.

        Raises:
            MoeClaimsError: the rows cannot be computed.
        """


@final
@dataclass(frozen=True)
class Live:
    """The evidence ``live``: models that are measured in this run."""

    claims: Mapping[str, Claim]
    name: str = "live"
    title: str = "Live"

    def cases(self, claim: Claim, settings: Settings) -> Sequence[Case]:
        """One test per model and variant, and per text if the variant needs one."""
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
        ValueError: an id is malformed or used twice, or a claim has a value that is not allowed.
    """

    id: str
    """Lower-case letters, digits and underscores. Rows name a claim as ``id/claim``."""
    title: str
    """Title of the paper."""
    paper: str
    """Reference of the paper, such as ``arXiv 2406.18219``."""
    claims: tuple[Claim, ...]
    """Claims on models that are measured in the run, in the order of the report."""
    evidence: tuple[Evidence, ...] = ()
    """Further kinds of evidence, each with its own claims."""
    audits: Mapping[str, Auditor] = field(default_factory=dict)
    """Checks of the paper's printed numbers and of its code, by id, in the order of the report."""
    models: Callable[[], Mapping[str, str]] | None = None
    """Function that returns the paper's models: id on the hub → the key that ``paper_says`` and ``printed`` use."""
    sequences: int | None = None
    """Number of sequences that the paper ran its models on, from which a standard error is derived if it prints none;
    None if the paper does not say."""
    tests: str | None = None
    """Package with the test modules of the claims; None if they are run by ``claims/test_packs.py``."""
    seed_prefix: str | None = None
    """Prefix of a claim's name in the string that seeds its test; ``id/`` by default. Empty only for the first pack,
    whose numbers were published before packs existed."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"a pack's id is lower-case letters, digits and underscores, not '{self.id}'")
        names = [evidence.name for evidence in self.evidence]
        if "live" in names or len(set(names)) < len(names):
            raise ValueError(f"further evidence needs names of its own, each once and none 'live', not {names}")
        for evidence in self.kinds.values():
            for name, claim in evidence.claims.items():
                if not _CLAIM_ID.fullmatch(claim.id):
                    raise ValueError(f"a claim's id is lower-case letters, digits and hyphens, not '{claim.id}'")
                if name != claim.id:
                    raise ValueError(f"evidence '{evidence.name}' lists the claim '{claim.id}' as '{name}'")
                claim.check()
        for audit in self.audits:
            if not _CLAIM_ID.fullmatch(audit) or any(claim.id == audit for _, claim in self.records()):
                raise ValueError(f"an audit's id is lower-case letters, digits and hyphens, and no claim's: '{audit}'")
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
        """``claims`` by id."""
        return {claim.id: claim for claim in self.claims}

    @cached_property
    def kinds(self) -> Mapping[str, Evidence]:
        """All kinds of evidence by name, ``live`` first."""
        return {"live": Live(self.live), **{evidence.name: evidence for evidence in self.evidence}}

    def records(self) -> Iterator[tuple[str, Claim]]:
        """Yields (name of the evidence, record) for every claim of every kind of evidence."""
        for name, evidence in self.kinds.items():
            yield from ((name, claim) for claim in evidence.claims.values())

    def key(self, claim: str) -> str:
        """Name of a claim in result rows: ``pack/claim``."""
        return f"{self.id}/{claim}"

    def seed_name(self, claim: str, variant: str | None) -> str:
        """String that, with the run's seed, seeds one test. It does not depend on other tests or on their order."""
        prefix = f"{self.id}/" if self.seed_prefix is None else self.seed_prefix
        return prefix + key_of(claim, variant)

    def paper_model(self, hub_id: str | None) -> str | None:
        """The paper's key of a model on the hub; None if the model is not one of the paper's."""
        return None if hub_id is None or self.models is None else self.models().get(hub_id)

    def paper_says(self, claim: Claim, hub_id: str | None) -> PaperSays:
        """What the paper reports on a claim for this model; ``holds`` if the model is not one of the paper's."""
        return claim.paper_says.get(self.paper_model(hub_id) or "", "holds")

    def published_value(self, claim: Claim, variant: str | None, hub_id: str | None) -> dict[str, Any] | None:
        """The value that the paper prints for this claim and this model, or None.

        ``none`` is the value that means no effect; for claims of rule ``level`` it is the level itself.
        ``companions`` holds the same keys, without ``model`` and ``paper_says``, for further estimates.
        """
        model = self.paper_model(hub_id)
        printed = claim.printed(model, variant) if model is not None and claim.printed is not None else None
        if printed is None or model is None:
            return None
        found = as_published(printed, model, self.paper_says(claim, hub_id))
        return found | {"none": claim.smallest} if claim.rule == "level" else found

    def described(self) -> dict[str, Any]:
        """The entry of the pack in a results document: id, title, paper and titles of the evidence."""
        evidence = {kind.name: kind.title for kind in self.evidence}
        return {"id": self.id, "title": self.title, "paper": self.paper, "evidence": evidence}


def as_published(printed: Printed, model: str, paper_says: PaperSays) -> dict[str, Any]:
    """A printed value as result rows store it: with the model and what the paper reports on the claim there."""
    found = asdict(printed)
    for companion in found["companions"].values():
        del companion["companions"]
    return {"model": model, "paper_says": paper_says, **found}
