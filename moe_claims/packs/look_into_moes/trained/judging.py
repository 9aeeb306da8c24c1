"""Claims on trainings made for the question: from results files to judged rows."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from moe_claims.errors import MoeClaimsError
from moe_claims.judge.evaluate import Trial, adjusted, judge, row_of
from moe_claims.judge.registry import TRAINED
from moe_claims.packs.look_into_moes.trained.published_trained import printed_for
from moe_claims.packs.look_into_moes.trained.results import EXPERT_COUNTS, load
from moe_claims.packs.look_into_moes.trained.seeds import Document
from moe_claims.types import Finding, Result

EXPERIMENTS: Mapping[str, str] = {
    "depth-needs-experts": "dense-layer-position",
    "training-scheme": "training-scheme",
}
"""By claim, the experiment whose results it is tested on."""


def trained_results(alpha: float = 0.05, folder: Path | None = None) -> list[Result]:
    """All claims on trainings; they are one family of tests (Holm at ``alpha``).

    Args:
        alpha: error rate of the family.
        folder: of the results files; None for those in the package.

    Raises:
        UsageError: a file is missing, is not of its experiment, or is not whole.
    """
    found = rows_of(_documents(folder), alpha)
    for row in found.values():
        if isinstance(row, MoeClaimsError):
            raise row
    return [row for row in found.values() if isinstance(row, Result)]


def trained_result(claim: str, variant: str, alpha: float = 0.05, folder: Path | None = None) -> Result:
    """One row of ``trained_results``; the file of another experiment may be missing, which makes the family smaller.

    Raises:
        UsageError: the file of this claim's experiment cannot be used.
    """
    row = rows_of(_documents(folder), alpha)[claim, variant]
    if isinstance(row, MoeClaimsError):
        raise row
    return row


def _documents(folder: Path | None) -> dict[str, Document | MoeClaimsError]:
    found: dict[str, Document | MoeClaimsError] = {}
    for experiment in EXPERIMENTS.values():
        try:
            found[experiment] = load(experiment, folder)
        except MoeClaimsError as error:  # one file that cannot be used loses none of the other's rows
            found[experiment] = error
    return found


def rows_of(
    documents: Mapping[str, Document | MoeClaimsError], alpha: float
) -> dict[tuple[str, str], Result | MoeClaimsError]:
    """Judges every variant of every claim; by claim and variant a row, or why there is none.

    Args:
        documents: results by experiment, or why they cannot be used.
        alpha: error rate of the family.
    """
    trials = [_trial(claim, variant, documents[EXPERIMENTS[claim]]) for claim, variant in _places()]
    towards, _ = adjusted(trials)
    found: dict[tuple[str, str], Result | MoeClaimsError] = {}
    for place, trial, decision, p in zip(_places(), trials, judge(trials, alpha), towards, strict=True):
        document = documents[EXPERIMENTS[trial.claim.id]]
        if decision is None or isinstance(document, MoeClaimsError):
            assert isinstance(trial.outcome, MoeClaimsError)
            found[place] = trial.outcome
            continue
        printed = printed_for(*place)
        row = row_of(trial, decision, p, evidence="trained", model=_models(document), published=dict(printed.published))
        criteria = row.criteria
        if criteria is not None and printed.published["standard_error"] is None:
            reason = "no error follows from what it prints, so the criteria cannot be computed"
            criteria = {"reason": reason, "companions": {}}
        found[place] = replace(row, criteria=criteria, details={**row.details, **printed.details})
    return found


def _places() -> list[tuple[str, str]]:
    return [(claim.id, variant) for claim in TRAINED.values() for variant in claim.variants if variant]


def _trial(claim: str, variant: str, document: Document | MoeClaimsError) -> Trial:
    record = TRAINED[claim].of(variant)
    if isinstance(document, MoeClaimsError):
        return Trial(record, variant, None, document)
    module, _, function = record.analysis.partition(":")
    analysis: Callable[[str, Document], Finding] = getattr(import_module(module), function)
    outcome: Finding | MoeClaimsError
    try:
        outcome = analysis(variant, document)
    except MoeClaimsError as error:  # a variant that has no models loses none of the others
        outcome = error
    return Trial(record, variant, document["text"], outcome)


def _models(document: Document) -> str:
    """Such as ``8-layer qwen2_moe MoEs of 16 experts``."""
    recipe: Mapping[str, Any] = document["recipe"] if "recipe" in document else document["recipes"]["moe"]
    settings = recipe["settings"]
    experts = next(settings[key] for key in EXPERT_COUNTS if key in settings)
    return f"{settings['num_hidden_layers']}-layer {recipe['family']} MoEs of {experts} experts"
