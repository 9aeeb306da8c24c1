"""Audit of the published code's order of rows, on our own measurements.

The paper's numbers on Grok-1 cannot be corrected without its outputs, which were not published. The effect
of the order of rows on such numbers is measured on a small model of the same family instead.
"""

from collections.abc import Mapping

from moe_claims.measure.measurement import Floats, RowOrderMeasurement, RowsInOrder
from moe_claims.packs.look_into_moes.audits.rounding import ALPHA, columns
from moe_claims.stats.student import StudentResult, student
from moe_claims.types import Audit, AuditOutcome

EQUIVALENT = 0.01
"""Bound of equivalence: differences of similarity and of ρ within ± this do not change any reported result."""


def row_order(measured: RowOrderMeasurement) -> Audit:
    """Compares output similarity and norm–score association with rows in the published order and with rows by token.

    Unit: the sequence, all with equal weight; paired differences (published minus by token) of the means over
    layers, Student's t. The audit agrees if the 90 % intervals of both differences lie within ±0.01; otherwise it
    disagrees if either difference is significant at 5 % over both (2.5 % each).

    Args:
        measured: measurement of a model of the Grok-1 family.

    Raises:
        ValueError: fewer than 2 sequences.
    """
    published, by_token = _over_layers(measured.published), _over_layers(measured.by_token)
    differences = {name: student(published[name] - by_token[name]) for name in ("similarity", "rho")}
    wrong, right = _means(published), _means(by_token)
    misplaced = float(measured.misplaced.mean())
    outcome = _outcome(differences)
    return Audit(
        id="row-order",
        kind="code",
        statement="Outputs of Grok-1's experts are compared with each other, and their norms with the router's "
        "scores, on the same token.",
        source="published code, all dynamic experiments on Grok-1: once all experts are chosen, "
        "grok/modeling_grok1.py hands an expert its tokens by (rank of the expert for the token, token), and "
        "dynamic_analysis.ipynb takes its row j for token j",
        outcome=outcome,
        printed=f"in the published order {_said(wrong)} (the paper's outputs cannot be had: our own measurement on "
        f"{measured.model}, a GELU model of the Grok-1 family)",
        recomputed=f"in token order {_said(right)} (the same outputs of {measured.model})",
        reason=f"On {measured.model}, {misplaced:.2%} of the rows hold another token than their place says; from token "
        f"order to the published order similarity goes {_change(right, wrong, 'similarity')}, ρ of norms and scores "
        f"{_change(right, wrong, 'rho')}, the share of equal ranks {_change(right, wrong, 'diagonal')}: "
        f"{_SO[outcome]}.",
        values=columns(published=wrong, by_token=right)
        | columns(**_tested(differences))
        | {
            "rows_misplaced": misplaced,
            "first layer similarity published": float(measured.published.similarity[0].mean()),
            "first layer similarity by_token": float(measured.by_token.similarity[0].mean()),
            "model": measured.model,
            "layers": len(measured.layers),
            "sequences": len(measured.lengths),
            "tokens": int(measured.lengths.sum()),
            "equivalent_within": EQUIVALENT,
        },
    )


_SO = {
    AuditOutcome.DISAGREES: "the order of rows changes what is reported",
    AuditOutcome.AGREES: f"the order of rows changes neither of the first two by {EQUIVALENT} or more",
    AuditOutcome.LACKS_POWER: "these sequences cannot tell whether the order of rows matters",
}


def _over_layers(rows: RowsInOrder) -> dict[str, Floats]:
    """(S,) means over layers of each quantity, by name."""
    by_layer = {"similarity": rows.similarity, "rho": rows.association, "diagonal": rows.diagonal}
    return {name: values.mean(axis=0) for name, values in by_layer.items()}


def _means(by_sequence: Mapping[str, Floats]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in by_sequence.items()}


def _outcome(differences: Mapping[str, StudentResult]) -> AuditOutcome:
    if all(found.interval(1 - 2 * ALPHA, "sequences").inside(EQUIVALENT) for found in differences.values()):
        return AuditOutcome.AGREES
    if any(2 * min(found.p_greater, found.p_less) < ALPHA / len(differences) for found in differences.values()):
        return AuditOutcome.DISAGREES
    return AuditOutcome.LACKS_POWER


def _tested(differences: Mapping[str, StudentResult]) -> dict[str, dict[str, float]]:
    """The differences with their 95 and 90 % intervals: column → quantity → number."""
    found: dict[str, dict[str, float]] = {"difference": {name: one.estimate for name, one in differences.items()}}
    for level in (1 - ALPHA, 1 - 2 * ALPHA):
        intervals = {name: one.interval(level, "sequences") for name, one in differences.items()}
        found[f"difference_low_{100 * level:.0f}"] = {name: interval.low for name, interval in intervals.items()}
        found[f"difference_high_{100 * level:.0f}"] = {name: interval.high for name, interval in intervals.items()}
    return found


def _said(means: Mapping[str, float]) -> str:
    return (
        f"mean angular similarity {means['similarity']:.3f}, ρ of norms and scores {means['rho']:.3f}, "
        f"equal ranks {means['diagonal']:.3f}"
    )


def _change(before: Mapping[str, float], after: Mapping[str, float], name: str) -> str:
    return f"{before[name]:.3f} → {after[name]:.3f}"
