"""Audits of Tables 3 and 5: the association R²_avg of router and W_act, and the signs of r.

Every audit is a pure function of the published numbers, which are an optional argument
so that tests can change them. r is the Pearson correlation, over the E(E − 1)/2 pairs of experts,
of the router rows' similarities with those of the W_act means, one per layer (section 4.2).
"""

import re
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from moe_claims.packs.look_into_moes.audits.rounding import (
    ALPHA,
    TWO_DIGITS,
    Paper,
    by_model,
    columns,
    paper_name,
    rounding_error,
)
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.stats.proportions import clopper_pearson, sign_test
from moe_claims.types import Audit, AuditOutcome

CONSISTENT_R = 0.20
"""Smallest mean signed r of interest (claim ``neuron-experts-sign``)."""
NEARLY_ALL = 0.90
"""Share of layers with the stated sign below which a statement about all later layers is wrong."""


def table3_against_table5(paper: Paper | None = None) -> Audit:
    """Audit of Table 3's R²_avg for W_act against the mean of the squares of Table 5's r."""
    facts = published() if paper is None else paper
    printed = {model: float(row["act"]) for model, row in facts["table3_r2_avg"].items()}
    recomputed = {model: float(np.mean(_r(facts, model) ** 2)) for model in printed}
    tolerance = {model: TWO_DIGITS + float(np.mean(_square_error(_r(facts, model)))) for model in printed}
    off = [model for model in printed if abs(printed[model] - recomputed[model]) > tolerance[model]]
    return Audit(
        id="table3-against-table5",
        statement="R²_avg for W_act is the mean over layers of the squared correlations listed by layer.",
        source="Table 3 against Table 5",
        outcome=AuditOutcome.DISAGREES if off else AuditOutcome.AGREES,
        printed=by_model(facts, printed, ".2f"),
        recomputed=by_model(facts, recomputed, ".3f"),
        reason=f"{len(printed) - len(off)} of {len(printed)} models agree within the rounding of both tables.",
        values=columns(printed=printed, recomputed=recomputed, tolerance=tolerance),
    )


def r2_null_expectation(paper: Paper | None = None) -> Audit:
    """Audit of Table 3's values against the expectation of R²_avg for unrelated patterns.

    For n pairs in arbitrary order r² has expectation 1/(n − 1) and, for patterns near normal, the
    Beta(1/2, (n − 2)/2) distribution. Relabelling experts moves whole rows and columns: the pairs
    split into E − 1 dimensions of expert means and E(E − 3)/2 other dimensions, which relabelling does
    not mix, so E[r²] is the sum of the products of the variance shares over these dimensions:
    1/(n − 1) for patterns without structure, and up to 1/(E − 1) if a few experts stand apart in both.
    """
    facts = published() if paper is None else paper
    free, bound, structured = {}, {}, {}
    printed: dict[str, float] = {}
    at_chance: dict[str, float] = {}
    below_structured = 0
    for model, row in facts["table3_r2_avg"].items():
        experts, layers = facts["models"][model]["routed_experts"], facts["models"][model]["moe_layers"]
        free[model], spread = _null_r2(experts * (experts - 1) // 2)
        bound[model] = free[model] + NormalDist().inv_cdf(1 - ALPHA) * spread / sqrt(layers)
        structured[model] = 1.0 / (experts - 1)
        cells = {f"{paper_name(facts, model)} W_{kind}": value for kind, value in row.items() if value > 0}
        printed |= cells
        at_chance |= {cell: value for cell, value in cells.items() if value <= bound[model] + TWO_DIGITS}
        below_structured += sum(value <= structured[model] + TWO_DIGITS for value in cells.values())
    return Audit(
        id="r2-null-expectation",
        statement="R²_avg is read as if unrelated patterns gave 0, so that any value above 0 is some association.",
        source="Table 3, section 4.2",
        outcome=AuditOutcome.DISAGREES if at_chance else AuditOutcome.AGREES,
        printed=", ".join(f"{cell} {value:.2f}" for cell, value in printed.items()),
        recomputed="unrelated patterns give " + by_model(facts, free, ".4f"),
        reason=f"Of {len(printed)} values above 0, {len(at_chance)} ({', '.join(at_chance) or 'none'}) are no larger "
        f"than unrelated patterns give, and {below_structured} are no larger than they can give where one expert "
        f"stands apart in both (up to {max(structured.values()):.2f}).",
        values={
            "nonzero_values": len(printed),
            "values_at_chance": len(at_chance),
            "values_at_chance_if_structured": below_structured,
            "rounding": TWO_DIGITS,
        }
        | columns(null_expectation=free, null_bound_95=bound, null_expectation_at_most=structured),
    )


def r2_against_signed_mean(paper: Paper | None = None) -> Audit:
    """Audit of R²_avg, which loses signs, against the mean signed r of every model.

    Null: expert labels permuted independently in every layer, under which the mean r over L layers
    has expectation 0 and a standard deviation of at most 1/√((E − 1)·L). Each model at 5 % over the
    number of models (Bonferroni).
    """
    facts = published() if paper is None else paper
    models = list(facts["table3_r2_avg"])
    mean = {model: float(np.mean(_r(facts, model))) for model in models}
    share = {model: mean[model] ** 2 / float(np.mean(_r(facts, model) ** 2)) for model in models}
    z = NormalDist().inv_cdf(1 - ALPHA / len(models))
    margin = {model: TWO_DIGITS + z / sqrt(_label_freedom(facts, model)) for model in models}
    unborne = [model for model in models if mean[model] + margin[model] < CONSISTENT_R]
    if unborne:
        outcome = AuditOutcome.DISAGREES
        reason = f"In {_names(facts, unborne)} the signs cancel: R²_avg counts layers of opposite sign as agreement."
    elif all(mean[model] > margin[model] for model in models):
        outcome, reason = AuditOutcome.AGREES, "The mean signed r is above chance in every model."
    else:
        outcome, reason = AuditOutcome.LACKS_POWER, "The mean signed r neither exceeds chance nor excludes 0.20."
    return Audit(
        id="r2-against-signed-mean",
        statement="The router's pattern follows that of W_act in all four models.",
        source="Table 3 against the signs in Table 5",
        outcome=outcome,
        printed="R²_avg: " + by_model(facts, {model: facts["table3_r2_avg"][model]["act"] for model in models}, ".2f"),
        recomputed="mean signed r: " + by_model(facts, mean, ".2f"),
        reason=reason,
        values=columns(mean_r=mean, margin=margin, share_of_r2_from_mean=share, p_sign=_sign_p(facts, models))
        | {"smallest_r_of_interest": CONSISTENT_R},
    )


def r2_range_of_mixtrals(paper: Paper | None = None) -> Audit:
    """Audit of the stated range of R² over the Mixtrals' layers against Table 5."""
    facts = published() if paper is None else paper
    low, high = facts["text_values"]["r2_act_range"]["mixtral"]
    r = np.concatenate([_r(facts, model) for model in ("mixtral-8x7b", "mixtral-8x22b")])
    square, error = r**2, _square_error(r)
    below = int(np.sum(square + error < low - rounding_error(low)))
    above = int(np.sum(square - error > high + rounding_error(high)))
    return Audit(
        id="r2-range-of-mixtrals",
        statement=f"The Mixtrals' R² between router and W_act fluctuates between {low} and {high}.",
        source="Section 4.2 against Table 5",
        outcome=AuditOutcome.DISAGREES if below or above else AuditOutcome.AGREES,
        printed=f"{low} to {high}",
        recomputed=f"{square.min():.4f} to {square.max():.2f}",
        reason=f"{below + above} of {r.size} layers lie outside the stated range by more than rounding.",
        values={
            "smallest": float(square.min()),
            "largest": float(square.max()),
            "layers": r.size,
            "layers_below": below,
            "layers_above": above,
            "rounding_of_low": rounding_error(low),
            "rounding_of_high": rounding_error(high),
            "rounding_of_r": TWO_DIGITS,
        },
    )


def grok_negative_after_25(paper: Paper | None = None) -> Audit:
    """Audit of the sign of Grok-1's r in the layers after layer 25, where the paper states that it turns negative.

    A printed 0.00 has lost its sign: it counts as negative in the test for disagreement and as
    positive in the test for agreement. The counts cover all later layers of the model. The exact interval
    treats layers as independent draws, which neighbouring layers are not, and is therefore too narrow.
    """
    facts = published() if paper is None else paper
    turn = int(re.findall(r"\d+", facts["text_values"]["sign_of_r_gate_act"]["grok-1"])[0])
    r = _r(facts, "grok-1")[turn + 1 :]
    negative, positive, hidden = int(np.sum(r < 0)), int(np.sum(r > 0)), int(np.sum(r == 0))
    share = clopper_pearson(negative, negative + positive)
    if clopper_pearson(negative + hidden, r.size).high < NEARLY_ALL:
        outcome, verdict = AuditOutcome.DISAGREES, "a tendency, not a change of sign"
    elif clopper_pearson(negative, r.size).low > 0.5:
        outcome, verdict = AuditOutcome.AGREES, "nearly all, as stated"
    else:
        outcome, verdict = AuditOutcome.LACKS_POWER, "too few layers to tell"
    return Audit(
        id="grok-negative-after-25",
        statement=f"Grok-1's correlation of router and W_act turns negative after layer {turn}.",
        source="Section 4.2 against Table 5",
        outcome=outcome,
        printed=f"negative after layer {turn}",
        recomputed=f"{negative} of {negative + positive} negative ({share.low:.1%} to {share.high:.1%})",
        reason=f"{positive} of the {r.size} later layers are positive: {verdict}.",
        values={
            "negative": negative,
            "positive": positive,
            "sign_lost_in_rounding": hidden,
            "share_low": share.low,
            "share_high": share.high,
            "p_sign": sign_test(negative, negative + positive, alternative="greater"),
            "nearly_all": NEARLY_ALL,
        },
    )


def table5_precision(paper: Paper | None = None) -> Audit:
    """Audit of Table 5's precision: are its r square roots of values of r² that had been rounded to two digits?

    Below 0.5 exactly half of the two-digit numbers are such roots (0.10, 0.14, 0.17, …), so counting
    the printed values among them is a sign test (last digits assumed uniform). Each model at
    5 % over the number of models. Such a value determines r² to ±0.005 only.
    """
    facts = published() if paper is None else paper
    roots = {round(sqrt(hundredths / 100), 2) for hundredths in range(25)}
    low = {m: [abs(r) for r in _r(facts, m) if abs(r) < 0.5] for m in facts["table5_r_gate_act_by_layer"]}
    on_roots = {model: sum(round(r, 2) in roots for r in values) for model, values in low.items()}
    counts = {model: (on_roots[model], len(values)) for model, values in low.items() if values}
    p_value = {model: sign_test(hits, size, alternative="greater") for model, (hits, size) in counts.items()}
    rounded = [m for m, (hits, size) in counts.items() if hits == size and p_value[m] <= ALPHA / len(low)]
    reached = any(0.5 ** len(values) <= ALPHA / len(low) for values in low.values())
    agrees = AuditOutcome.AGREES if reached else AuditOutcome.LACKS_POWER
    return Audit(
        id="table5-precision",
        statement="The correlations by layer are given to two digits.",
        source="Table 5 on its own",
        outcome=AuditOutcome.DISAGREES if rounded else agrees,
        printed="two digits of r",
        recomputed=", ".join(f"{_names(facts, [m])} {hits} of {size}" for m, (hits, size) in counts.items())
        + " below 0.5 are roots of two-digit r²",
        reason=f"All small values of {_names(facts, rounded)} are roots of rounded r²: an r closer to 0 than "
        f"{sqrt(TWO_DIGITS):.3f} prints as 0.00 there and loses its sign."
        if rounded
        else "No model's small values are all roots of rounded r².",
        values=columns(on_roots=on_roots, p_value=p_value) | {"r_printed_as_zero_below": sqrt(TWO_DIGITS)},
    )


def _r(facts: Paper, model: str) -> npt.NDArray[np.float64]:
    """Table 5's column of one model, in the order of layers, shape (L,)."""
    by_layer = facts["table5_r_gate_act_by_layer"][model]
    return np.array([by_layer[layer] for layer in sorted(by_layer, key=int)], dtype=np.float64)


def _square_error(r: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Largest error of r² if either r or r² itself was rounded to two digits (see ``table5_precision``)."""
    return np.maximum(2.0 * np.abs(r) * TWO_DIGITS + TWO_DIGITS**2, TWO_DIGITS)


def _null_r2(pairs: int) -> tuple[float, float]:
    """Mean and standard deviation of r² over unrelated pairs: Beta(1/2, (pairs − 2)/2)."""
    return 1.0 / (pairs - 1), sqrt(2.0 * (pairs - 2) / (pairs + 1)) / (pairs - 1)


def _label_freedom(facts: Paper, model: str) -> int:
    """(E − 1)·L: the smallest number of dimensions that the mean r can have under relabelling in every layer."""
    experts: int = facts["models"][model]["routed_experts"]
    return (experts - 1) * _r(facts, model).size


def _sign_p(facts: Paper, models: list[str]) -> dict[str, float]:
    """One-sided p of a sign test over layers without printed zeros, by model."""
    signs = {model: np.sign(_r(facts, model)) for model in models}
    return {m: sign_test(int(np.sum(s > 0)), int(np.sum(s != 0)), alternative="greater") for m, s in signs.items()}


def _names(facts: Paper, models: list[str]) -> str:
    return ", ".join(paper_name(facts, model) for model in models)
