"""One model judged: measured (or read from the store), tested, corrected, decided."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, final
from zlib import crc32

import numpy as np

from moe_claims._util.progress import track
from moe_claims.errors import MoeClaimsError, NotComparableError, NotMeasuredError
from moe_claims.judge.claim import Claim, key_of
from moe_claims.judge.registry import LIVE
from moe_claims.judge.replication import against_published, paper_model, published_value
from moe_claims.judge.verdict import Decision, control_of, decide, plain
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.stats.corrections import benjamini_hochberg, holm
from moe_claims.types import Finding, Result, Scalar, Verdict

Analysis = Callable[[str | None, Measured, np.random.Generator], Finding]


@final
@dataclass(frozen=True)
class Trial:
    """One claim on one text, analysed but not yet judged."""

    claim: Claim
    variant: str | None
    corpus: str | None
    outcome: Finding | MoeClaimsError
    """The finding; or why there is none: not applicable, or something broke."""
    sequences: int | None = None
    """How many the model was run on, for a claim on one text."""

    @property
    def key(self) -> str:
        return key_of(self.claim.id, self.variant)


@final
@dataclass(frozen=True)
class Judged:
    """All rows of one model."""

    results: tuple[Result, ...]
    errors: Mapping[str, str] = field(default_factory=dict)
    """By ``corpus|claim[variant]``: what broke, where something did."""

    def find(self, claim: str, variant: str | None, corpus: str | None) -> Result | str:
        """The row of one test, or the message of what broke."""
        for result in self.results:
            if (result.claim, result.variant, result.corpus) == (claim, variant, corpus):
                return result
        return self.errors[_place(corpus, key_of(claim, variant))]


def _place(corpus: str | None, key: str) -> str:
    return f"{corpus or ''}|{key}"


def try_all(measured: Mapping[str, Measured], seed: int, claims: Iterable[Claim] = tuple(LIVE.values())) -> list[Trial]:
    """Analyses every live claim, or the claims given, on every text; weight claims once.

    Each test has its own generator, seeded by the run's seed and the test's name, so that
    its numbers depend neither on the other tests nor on their order.
    """
    trials = []
    first = next(iter(measured.values()))
    for claim in track(tuple(claims), "testing", unit="claims"):
        module, _, function = claim.analysis.partition(":")
        analysis: Analysis = getattr(import_module(module), function)
        for variant in claim.variants:
            texts: list[tuple[str | None, Measured]] = [(None, first)]
            if claim.needs_of(variant) == "text":
                texts = list(measured.items())
            for corpus, given in texts:
                rng = np.random.default_rng((seed, crc32(key_of(claim.id, variant).encode())))
                outcome: Finding | MoeClaimsError
                try:
                    outcome = analysis(variant, given, rng)
                except MoeClaimsError as error:  # bad input to one claim loses none of the others
                    outcome = error
                sequences = None
                if corpus is not None and isinstance(given.text, RoutedMeasurement):
                    sequences = len(given.text.lengths)
                trials.append(Trial(claim, variant, corpus, outcome, sequences))
    return trials


_CORRECTIONS = (("headline", holm), ("secondary", benjamini_hochberg), ("trained", holm))


def _members(trials: Sequence[Trial], family: str) -> list[tuple[int, Finding]]:
    """The findings of one family of tests, with their places among the trials."""
    return [
        (i, trial.outcome)
        for i, trial in enumerate(trials)
        if trial.claim.family == family and isinstance(trial.outcome, Finding)
    ]


def adjusted(trials: Sequence[Trial]) -> tuple[list[float | None], list[float | None]]:
    """Corrected p-values, claimed and opposite direction: Benjamini–Hochberg for secondary, Holm for other claims."""
    towards: list[float | None] = [None] * len(trials)
    against: list[float | None] = [None] * len(trials)
    for family, correct in _CORRECTIONS:
        members = _members(trials, family)
        for target, values in (
            (towards, correct([finding.p_value for _, finding in members])),
            (against, correct([finding.p_opposite for _, finding in members])),
        ):
            for (i, _), value in zip(members, values, strict=True):
                target[i] = float(value)
    return towards, against


def at_best(trials: Sequence[Trial]) -> list[float | None]:
    """What the correction makes of the smallest p that each test can reach, the other tests unchanged."""
    best: list[float | None] = [None] * len(trials)
    for family, correct in _CORRECTIONS:
        members = _members(trials, family)
        values = [finding.p_value for _, finding in members]
        for place, (i, finding) in enumerate(members):
            best[i] = float(correct([*values[:place], finding.smallest_p, *values[place + 1 :]])[place])
    return best


def judge(trials: Sequence[Trial], alpha: float, hub_id: str | None = None) -> list[Decision | None]:
    """A decision for every trial; None where something broke. ``hub_id`` finds what the paper says of the model."""
    model = paper_model(hub_id)
    towards, against = adjusted(trials)
    decisions: list[Decision | None] = []
    for trial, p, q, best in zip(trials, towards, against, at_best(trials), strict=True):
        if isinstance(trial.outcome, Finding):
            assert p is not None
            assert q is not None
            says = trial.claim.paper_says.get(model or "", "holds")
            decisions.append(
                decide(trial.claim, trial.outcome, p, q, alpha, says, p_at_best=best, sequences=trial.sequences)
            )
        elif isinstance(trial.outcome, NotComparableError):
            decisions.append(Decision(Verdict.NOT_APPLICABLE, str(trial.outcome)))
        elif isinstance(trial.outcome, NotMeasuredError):
            decisions.append(Decision(Verdict.INCONCLUSIVE, str(trial.outcome)))
        else:
            decisions.append(None)
    return decisions


def evaluate(
    model: str,
    hub_id: str | None,
    measured: Mapping[str, Measured],
    control: Mapping[str, Measured] | MoeClaimsError | None,
    *,
    seed: int,
    alpha: float,
) -> Judged:
    """Judges one model.

    Args:
        model: name for the rows.
        hub_id: of a model on the hub, to find its published values.
        measured: by text; the weights are the same in all of them.
        control: the random-initialisation control likewise, why there is none, or None
            for a model that needs none.
        seed: of every resampling.
        alpha: error rate of a family of tests.
    """
    trials = try_all(measured, seed)
    decisions = judge(trials, alpha, hub_id)
    towards, _ = adjusted(trials)
    controls = _controls(control, hub_id, seed, alpha)
    results, errors = [], {}
    for trial, decision, p in zip(trials, decisions, towards, strict=True):
        if decision is None:
            errors[_place(trial.corpus, trial.key)] = str(trial.outcome)
            continue
        random_init = controls if isinstance(controls, str) else controls.get((trial.key, trial.corpus))
        if isinstance(random_init, str):
            random_init = {"verdict": None, "effect": None, "reason": random_init}
        results.append(_row(model, hub_id, trial, decision, p, random_init))
    return Judged(tuple(results), errors)


def _controls(
    control: Mapping[str, Measured] | MoeClaimsError | None, hub_id: str | None, seed: int, alpha: float
) -> dict[tuple[str, str | None], dict[str, Any]] | str:
    if control is None:
        return {}
    if isinstance(control, MoeClaimsError):
        return str(control)
    trials = try_all(control, seed)
    return {
        (trial.key, trial.corpus): control_of(decision, trial.outcome if isinstance(trial.outcome, Finding) else None)
        for trial, decision in zip(trials, judge(trials, alpha, hub_id), strict=True)
        if decision is not None
    }


def _row(
    model: str,
    hub_id: str | None,
    trial: Trial,
    decision: Decision,
    p_adjusted: float | None,
    random_init: dict[str, Any] | None,
) -> Result:
    published = published_value(trial.claim, trial.variant, hub_id)
    row = row_of(trial, decision, p_adjusted, evidence="live", model=model, published=published)
    if random_init is None:
        return row
    replicated = random_init["verdict"] == row.verdict == Verdict.REPLICATED
    # Where the paper finds nothing, a fresh model without it is what one expects, and no artefact.
    artefact = replicated and trial.claim.paper_says.get(paper_model(hub_id) or "") != "absent"
    said = "; replicated at random initialisation too: an artefact of the architecture" if artefact else ""
    return replace(row, reason=row.reason + said, controls={"random_init": {**random_init, "artefact": artefact}})


def row_of(
    trial: Trial,
    decision: Decision,
    p_adjusted: float | None,
    *,
    evidence: str,
    model: str,
    published: dict[str, Any] | None,
) -> Result:
    """The row of a trial that was judged, without a control."""
    claim, finding = trial.claim, trial.outcome if isinstance(trial.outcome, Finding) else None
    details: dict[str, Scalar] = {}
    if finding is not None:
        details = {name: plain(v) if isinstance(v, float) else v for name, v in finding.details.items()}
        details["p_opposite"] = finding.p_opposite
        details["smallest_p"] = finding.smallest_p
    return Result(
        claim=claim.id,
        variant=trial.variant,
        evidence=evidence,
        family=claim.family,
        model=model,
        corpus=trial.corpus,
        verdict=decision.verdict,
        reason=decision.reason,
        effect_name=claim.effect,
        effect=None if finding is None else plain(finding.effect),
        interval=None if finding is None else finding.interval,
        smallest=claim.smallest,
        p_value=None if finding is None else finding.p_value,
        p_adjusted=p_adjusted,
        null=claim.null,
        unit=claim.unit,
        n_units=None if finding is None else finding.n_units,
        published=published,
        criteria=None if finding is None else against_published(finding, published),
        details=details,
        companions={} if finding is None else finding.companions,
        null_distribution=None if finding is None else finding.null_distribution,
    )
