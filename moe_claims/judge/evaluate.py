"""From measurements to result rows: runs the estimators, corrects p-values within each family, decides on each claim.

All kinds of evidence (models measured in the run, published counts, trainings) share one path: each makes ``Trial``
objects, and ``rows_of`` turns them into rows.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from moe_claims.errors import MoeClaimsError, NotComparableError, NotMeasuredError
from moe_claims.judge.claim import key_of
from moe_claims.judge.judged import Broken, Judged
from moe_claims.judge.pack import Pack
from moe_claims.judge.replication import against_published
from moe_claims.judge.sample_size import Corrected
from moe_claims.judge.trial import NOT_ASKED, Asked, Trial, try_all
from moe_claims.judge.verdict import Decision, control_of, decide, plain
from moe_claims.measure.measured import Measured
from moe_claims.stats.corrections import benjamini_hochberg, holm
from moe_claims.types import NOT_ASKED_IN_FAMILY, Finding, Result, Scalar, Verdict

Published = Mapping[str, Any] | None
_CORRECTIONS: Mapping[str, Callable[[Sequence[float]], Any]] = {
    "headline": holm,
    "secondary": benjamini_hochberg,
    "public": benjamini_hochberg,
    "trained": holm,
}


def corrected(trials: Sequence[Trial], alpha: float) -> list[Corrected | None]:
    """P-values after correction over each family and group of trials; None for a trial without a finding.

    Benjamini–Hochberg for secondary claims and those on published counts, Holm for the others. Both directions are
    corrected, and also the smallest p that each test can reach, with the other tests unchanged.
    """
    found: list[Corrected | None] = [None] * len(trials)
    families: dict[tuple[str, str], list[tuple[int, Finding]]] = {}
    left_out: Counter[tuple[str, str]] = Counter()
    for at, trial in enumerate(trials):
        family: tuple[str, str] = (trial.claim.family, trial.group)
        if trial.finding is not None:
            families.setdefault(family, []).append((at, trial.finding))
        elif trial.outcome is NOT_ASKED:
            left_out[family] += 1
    for family, members in families.items():
        correct, others = _CORRECTIONS[family[0]], [1.0] * left_out[family]
        values = [*(finding.p_value for _, finding in members), *others]
        towards = correct(values)
        against = correct([*(finding.p_opposite for _, finding in members), *others])
        for i, (at, finding) in enumerate(members):
            best = correct([*values[:i], finding.smallest_p, *values[i + 1 :]])[i]
            found[at] = Corrected(float(towards[i]), float(against[i]), float(best), alpha, len(others))
    return found


def judge(
    trials: Sequence[Trial], p_values: Sequence[Corrected | None], pack: Pack, hub_id: str | None = None
) -> list[Decision | None]:
    """A decision for every trial; None for a trial that failed with an unexpected error.

    Args:
        trials: trials of one kind of evidence.
        p_values: their corrected p-values, as ``corrected`` returns them.
        pack: pack that says what the paper reports for the model.
        hub_id: id of the model on the hub; None if it is not there.
    """
    decisions: list[Decision | None] = []
    for trial, p in zip(trials, p_values, strict=True):
        if trial.finding is not None and p is not None:
            says = pack.paper_says(trial.claim, hub_id)
            decisions.append(
                decide(
                    trial.claim,
                    trial.finding,
                    p.towards,
                    p.opposite,
                    p.alpha,
                    says,
                    p_at_best=p.at_best,
                    sequences=trial.sequences,
                )
            )
        elif isinstance(trial.outcome, NotComparableError):
            decisions.append(Decision(Verdict.NOT_APPLICABLE, str(trial.outcome)))
        elif isinstance(trial.outcome, NotMeasuredError):
            decisions.append(Decision(Verdict.INCONCLUSIVE, str(trial.outcome)))
        else:
            decisions.append(None)
    return decisions


def rows_of(
    pack: Pack,
    evidence: str,
    trials: Sequence[Trial],
    alpha: float,
    *,
    hub_id: str | None = None,
    published: Callable[[Trial], Published] = lambda _: None,
) -> Judged:
    """Corrects and judges all trials of one kind of evidence, and returns their rows.

    Args:
        pack: pack that the claims belong to.
        evidence: name of the evidence.
        trials: the trials; the families among them are complete.
        alpha: error rate of a family of tests.
        hub_id: id of the model on the hub; None if it is not there or there are several models.
        published: function from a trial to the paper's value, or None.
    """
    p_values = corrected(trials, alpha)
    results, broken = [], []
    for trial, p, decision in zip(trials, p_values, judge(trials, p_values, pack, hub_id), strict=True):
        if trial.outcome is NOT_ASKED:
            continue
        if decision is None:
            broken.append(Broken(trial.claim.id, trial.variant, trial.corpus, str(trial.outcome), trial.model))
        else:
            results.append(_row(pack, evidence, trial, decision, p, published(trial)))
    return Judged(tuple(results), tuple(broken))


def evaluate(
    pack: Pack,
    model: str,
    hub_id: str | None,
    measured: Mapping[str, Measured],
    control: Mapping[str, Measured] | MoeClaimsError | None,
    *,
    seed: int,
    alpha: float,
    asked: Collection[Asked] | None = None,
) -> Judged:
    """Judges one model on the claims of one pack.

    Args:
        pack: pack with the claims to judge.
        model: name of the model, for the rows.
        hub_id: id of the model on the hub, to find its published values; None if it is not there.
        measured: measurements by text; the weights are the same in all of them.
        control: measurements of the random-initialisation control by text, the error that explains why
            there are none, or None if no control was asked for.
        seed: seed of every resampling.
        alpha: error rate of a family of tests.
        asked: the tests that the run asks for; None for all.
    """
    trials = try_all(pack, measured, seed, model=model, asked=asked)
    judged = rows_of(
        pack,
        "live",
        trials,
        alpha,
        hub_id=hub_id,
        published=lambda trial: pack.published_value(trial.claim, trial.variant, hub_id),
    )
    if control is None:
        return judged
    beside = _controls(pack, control, hub_id, seed, alpha, asked)
    return replace(judged, results=tuple(_with_control(pack, row, beside, hub_id) for row in judged.results))


def _controls(
    pack: Pack,
    control: Mapping[str, Measured] | MoeClaimsError,
    hub_id: str | None,
    seed: int,
    alpha: float,
    asked: Collection[Asked] | None,
) -> dict[tuple[str, str | None], dict[str, Any]] | str:
    """Verdicts of the control by (``claim[variant]``, text), or the reason why there is no control."""
    if isinstance(control, MoeClaimsError):
        return str(control)
    trials = try_all(pack, control, seed, asked=asked)
    decisions = judge(trials, corrected(trials, alpha), pack, hub_id)
    return {
        (trial.key, trial.corpus): _no_control(trial) if decision is None else control_of(decision, trial.finding)
        for trial, decision in zip(trials, decisions, strict=True)
    }


def _no_control(trial: Trial) -> dict[str, Any]:
    return {"verdict": None, "effect": None, "reason": str(trial.outcome)}


def _with_control(
    pack: Pack, row: Result, controls: dict[tuple[str, str | None], dict[str, Any]] | str, hub_id: str | None
) -> Result:
    found = controls if isinstance(controls, str) else controls.get((key_of(row.claim, row.variant), row.corpus))
    if found is None:
        return row
    if isinstance(found, str):  # the control could not be made
        found = {"verdict": None, "effect": None, "reason": found}
    replicated = found["verdict"] == row.verdict == Verdict.REPLICATED
    # If the paper reports no effect, none in a freshly initialised model is expected and no artefact.
    artefact = replicated and pack.paper_says(pack.live[row.claim], hub_id) != "absent"
    said = "; replicated at random initialisation too: an artefact of the architecture" if artefact else ""
    return replace(row, reason=row.reason + said, controls={"random_init": {**found, "artefact": artefact}})


def _row(
    pack: Pack, evidence: str, trial: Trial, decision: Decision, p: Corrected | None, published: Published
) -> Result:
    claim, finding = trial.claim, trial.finding
    details: dict[str, Scalar] = {}
    reason = decision.reason
    if finding is not None and p is not None:
        details = {name: plain(v) if isinstance(v, float) else v for name, v in finding.details.items()}
        details |= {"p_opposite": finding.p_opposite, "smallest_p": finding.smallest_p}
        details |= {"p_opposite_adjusted": p.opposite, "smallest_p_adjusted": p.at_best}
        if p.not_asked:
            details[NOT_ASKED_IN_FAMILY] = p.not_asked
        if finding.summary is not None:
            reason = f"{finding.summary}; {reason}"
    return Result(
        pack=pack.id,
        claim=claim.id,
        claim_version=claim.version,
        variant=trial.variant,
        evidence=evidence,
        family=claim.family,
        model=trial.model,
        corpus=trial.corpus,
        verdict=decision.verdict,
        reason=reason,
        effect_name=claim.effect,
        effect=None if finding is None else plain(finding.effect),
        interval=None if finding is None else finding.interval,
        smallest=claim.smallest,
        p_value=None if finding is None else finding.p_value,
        p_adjusted=None if p is None else p.towards,
        null=claim.null,
        unit=claim.unit,
        n_units=None if finding is None else finding.n_units,
        published=published,
        criteria=None if finding is None else against_published(finding, published, pack.sequences),
        details=details,
        companions={} if finding is None else finding.companions,
        null_distribution=None if finding is None else finding.null_distribution,
    )
