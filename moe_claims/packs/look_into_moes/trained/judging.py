"""The evidence ``trained``: from results files of training experiments to judged rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from moe_claims.errors import MoeClaimsError
from moe_claims.judge.claim import Claim
from moe_claims.judge.evaluate import rows_of
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Case, Pack, Session
from moe_claims.judge.trial import Trial
from moe_claims.packs.look_into_moes.trained.dense_layer_position import DEPTH_NEEDS_EXPERTS, printed_position
from moe_claims.packs.look_into_moes.trained.results import EXPERT_COUNTS, load
from moe_claims.packs.look_into_moes.trained.seeds import Document, PrintedBeside
from moe_claims.packs.look_into_moes.trained.training_scheme import TRAINING_SCHEME, printed_scheme
from moe_claims.settings import Settings
from moe_claims.types import Finding, Result

EXPERIMENTS: Mapping[str, str] = {
    DEPTH_NEEDS_EXPERTS.id: "dense-layer-position",
    TRAINING_SCHEME.id: "training-scheme",
}
"""Claim id → name of the experiment with its results."""


@final
@dataclass(frozen=True)
class Trainings:
    """The evidence ``trained``: results of training experiments; the seed is the unit."""

    name: str = "trained"
    title: str = "Trained for the question: small MoEs, chance judged over seeds (Holm)"

    @property
    def claims(self) -> Mapping[str, Claim]:
        """The claims on trainings by id; they are one family of tests."""
        return {claim.id: claim for claim in (DEPTH_NEEDS_EXPERTS, TRAINING_SCHEME)}

    def cases(self, claim: Claim, settings: Settings) -> Sequence[Case]:
        """One test per variant."""
        return [Case(self.name, claim.id, variant) for variant in claim.variants]

    def judged(self, pack: Pack, case: Case, session: Session) -> Judged:
        """All rows on trainings; experiments with an unusable file are in ``Judged.broken``."""
        return judged_trainings(pack, session.settings.alpha, session.settings.experiments)


def judged_trainings(pack: Pack, alpha: float = 0.05, folder: Path | None = None) -> Judged:
    """All rows on trainings; one family of tests (Holm at ``alpha``).

    Args:
        pack: pack that the claims belong to.
        alpha: error rate of the family.
        folder: folder of the results files; None for those in the package. Unusable files are in ``broken``.
    """
    return judged_documents(pack, _documents(folder), alpha)


def _documents(folder: Path | None) -> dict[str, Document | MoeClaimsError]:
    found: dict[str, Document | MoeClaimsError] = {}
    for experiment in EXPERIMENTS.values():
        try:
            found[experiment] = load(experiment, folder)
        except MoeClaimsError as error:  # an unusable file must not lose the rows of the other
            found[experiment] = error
    return found


def judged_documents(pack: Pack, documents: Mapping[str, Document | MoeClaimsError], alpha: float) -> Judged:
    """Judges every variant of every claim on trainings.

    Args:
        pack: pack that the claims belong to.
        documents: results by experiment, or the error that explains why they cannot be used.
        alpha: error rate of the family.
    """
    claims = Trainings().claims.values()
    trials = [
        _trial(claim, variant, documents[EXPERIMENTS[claim.id]])
        for claim in claims
        for variant in claim.variants
        if variant is not None
    ]
    found = rows_of(pack, "trained", trials, alpha, published=lambda trial: dict(_printed_for(trial).published))
    beside = {(trial.claim.id, trial.variant): _printed_for(trial) for trial in trials}
    return replace(found, results=tuple(_completed(row, beside[row.claim, row.variant]) for row in found.results))


def _completed(row: Result, printed: PrintedBeside) -> Result:
    """A row with details on the paper's own trainings; without criteria if the paper gives no standard error."""
    criteria = row.criteria
    if criteria is not None and printed.published["standard_error"] is None:
        reason = "no error follows from what it prints, so the criteria cannot be computed"
        criteria = {"reason": reason, "companions": {}}
    return replace(row, criteria=criteria, details={**row.details, **printed.details})


def _printed_for(trial: Trial) -> PrintedBeside:
    """The paper's value for one variant of a claim on trainings."""
    printed = printed_position if trial.claim.id == DEPTH_NEEDS_EXPERTS.id else printed_scheme
    return printed(str(trial.variant))


def _trial(claim: Claim, variant: str, document: Document | MoeClaimsError) -> Trial:
    record = claim.of(variant)
    if isinstance(document, MoeClaimsError):
        return Trial(record, variant, None, document)
    outcome: Finding | MoeClaimsError
    try:
        outcome = record.estimator(variant, document)
    except MoeClaimsError as error:  # a variant without models must not stop the others
        outcome = error
    return Trial(record, variant, document["text"], outcome, model=_models(document))


def _models(document: Document) -> str:
    """Description of the trained models, such as ``8-layer qwen2_moe MoEs of 16 experts``."""
    recipe: Mapping[str, Any] = document["recipe"] if "recipe" in document else document["recipes"]["moe"]
    settings = recipe["settings"]
    experts = next(settings[key] for key in EXPERT_COUNTS if key in settings)
    return f"{settings['num_hidden_layers']}-layer {recipe['family']} MoEs of {experts} experts"
