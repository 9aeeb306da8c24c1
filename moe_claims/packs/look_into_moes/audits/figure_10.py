"""Audits of Figure 10: how often the expert with the i-th largest norm gets the j-th highest score.

The bars (Mixtral 8x7B, all layers and tokens summed) were read by eye. Readings are assumed to be
off by at most ``READING_ERROR`` tokens, independently of each other; if the outcome could
change within that error, the audit reports a lack of power. Ranks run from 1, the
smallest, to E, the largest; rows of the counts are norm ranks, columns are score ranks.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import final

import numpy as np
import numpy.typing as npt

from moe_claims.packs.look_into_moes.audits.rounding import ALPHA, Paper
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.types import Audit, AuditOutcome, Scalar

Counts = npt.NDArray[np.float64]

READING_ERROR = 300.0
"""Assumed largest error of one bar read by eye, in tokens; bars run up to 26,100."""
SMALLEST_RHO = 0.10
"""Smallest mean Spearman ρ of interest (claim ``router-norm``)."""
MODEL = "mixtral-8x7b"
"""The only model for which the paper shows the figure."""
BARS = "implied by the bars, read by eye"
"""Note on values that are computed from the figure."""


@final
@dataclass(frozen=True)
class Figure10Effects:
    """Effect sizes computed from Figure 10: the published values of ``router-norm`` and related claims."""

    mean_spearman: float
    """Spearman ρ of norms and scores within a token, averaged over tokens and layers; −1 to 1, chance 0."""
    top1_agreement: float
    """Share of tokens and layers in which the largest norm gets the highest score; 0 to 1, chance 1/E."""
    top2_overlap: float
    """Share of the two highest scores that belong to the two largest norms; 0 to 1, chance 2/E."""
    diagonal_mass: float
    """Share of experts whose norm rank equals their score rank; 0 to 1, chance 1/E."""
    modal_share_by_norm_rank: float
    """Share of norm ranks whose most frequent score rank is the same rank; 0 to 1."""
    modal_share_by_score_rank: float
    """Share of score ranks whose most frequent norm rank is the same rank; 0 to 1."""


def figure10_effects(paper: Paper | None = None) -> Figure10Effects:
    """Effect sizes implied by the bars of Figure 10 (Mixtral 8x7B, section 5.2)."""
    counts = figure10_counts(published() if paper is None else paper)
    ranks = len(counts)
    # Every token and layer contributes one count to each norm rank, so E counts to the total.
    token_layers = counts.sum() / ranks
    diagonal = np.diagonal(counts)
    return Figure10Effects(
        mean_spearman=float((_rank_products(ranks) * counts).sum() / (_rank_variance(ranks) * counts.sum())),
        top1_agreement=float(counts[-1, -1] / token_layers),
        top2_overlap=float(counts[-2:, -2:].sum() / (2 * token_layers)),
        diagonal_mass=float(diagonal.sum() / counts.sum()),
        modal_share_by_norm_rank=float(np.mean(diagonal == counts.max(axis=1))),
        modal_share_by_score_rank=float(np.mean(diagonal == counts.max(axis=0))),
    )


def figure10_margins(paper: Paper | None = None) -> Audit:
    """Audit of the sums: rows and columns of the counts must all sum to tokens × layers.

    Tolerance: the sum of E readings with independent errors, uniform within the reading error, at
    5 % over all 2·E sums (Bonferroni).
    """
    facts = published() if paper is None else paper
    counts = figure10_counts(facts)
    sums = np.concatenate([counts.sum(axis=0), counts.sum(axis=1)])
    constant, layers = float(counts.sum() / len(counts)), facts["models"][MODEL]["moe_layers"]
    z = NormalDist().inv_cdf(1 - ALPHA / (2 * sums.size))
    tolerance = z * sqrt(len(counts) / 3) * READING_ERROR
    largest = float(np.abs(sums - constant).max())
    holds = largest <= tolerance
    stated = facts["protocol"]["long_input"]
    return Audit(
        id="figure10-margins",
        statement="Every norm rank and every score rank occurs once per token and layer.",
        source="Figure 10 on its own",
        outcome=AuditOutcome.AGREES if holds else AuditOutcome.DISAGREES,
        printed=f"{stated}; {layers} layers",
        recomputed=f"sums of {sums.min():,.0f} to {sums.max():,.0f}: {constant / layers:,.0f} tokens × {layers} layers",
        reason=f"The {sums.size} sums {'agree' if holds else 'do not agree'} within reading error: "
        f"the largest is off by {largest / constant:.1%} of their mean.",
        values={
            "constant": constant,
            "layers": layers,
            "implied_tokens": constant / layers,
            "stated_tokens_about": int(re.findall(r"about (\d+) tokens", stated)[0]),
            "largest_deviation": largest,
            "tolerance": tolerance,
            "assumed_reading_error": READING_ERROR,
        },
    )


def figure10_effect_sizes(paper: Paper | None = None) -> Audit:
    """Audit of the statement that larger norms get higher scores, and of its effect size.

    Null: expert labels permuted in every layer, under which a static pattern leaves the mean ρ over
    L layers a standard deviation of at most 1/√((E − 1)·L). As the worst case, every bar is first moved
    against the statement by the full reading error.
    """
    facts = published() if paper is None else paper
    counts = figure10_counts(facts)
    ranks, effects = len(counts), figure10_effects(facts)
    products = _rank_products(ranks)
    reading = float(READING_ERROR * np.abs(products).sum() / (_rank_variance(ranks) * counts.sum()))
    chance = NormalDist().inv_cdf(1 - ALPHA) / sqrt((ranks - 1) * facts["models"][MODEL]["moe_layers"])
    surely = effects.mean_spearman - reading
    if surely > max(chance, SMALLEST_RHO):
        outcome, reason = AuditOutcome.AGREES, "Norms and scores agree far beyond chance and reading error."
    elif effects.mean_spearman + reading < max(chance, SMALLEST_RHO):
        outcome, reason = AuditOutcome.DISAGREES, "Norms and scores agree no more than chance or too little to matter."
    else:
        outcome, reason = AuditOutcome.LACKS_POWER, "Within reading error the agreement may or may not be there."
    return Audit(
        id="figure10-effect-sizes",
        statement="The router gives higher scores to experts with larger output norms.",
        source="Figure 10, section 5.2",
        outcome=outcome,
        printed="bar heights only",
        recomputed=f"mean Spearman ρ {effects.mean_spearman:.2f} (chance 0), "
        f"top-1 agreement {effects.top1_agreement:.2f} (chance {1 / ranks:.3f}), "
        f"top-2 overlap {effects.top2_overlap:.2f} (chance {2 / ranks:.2f})",
        reason=reason,
        values={
            **asdict(effects),
            "chance_top1": 1 / ranks,
            "chance_top2": 2 / ranks,
            "chance_diagonal": 1 / ranks,
            "rho_reading_error_at_most": reading,
            "rho_null_bound_95": chance,
            "assumed_reading_error": READING_ERROR,
        },
    )


def figure10_diagonal(paper: Paper | None = None) -> Audit:
    """Audit of Figure 10's diagonal: the i-th largest norm most often gets the i-th highest score, and vice versa.

    A rank certainly agrees if its diagonal bar exceeds every other bar of its row or column by more than two
    reading errors, and certainly disagrees if another bar exceeds the diagonal one by as much.
    """
    facts = published() if paper is None else paper
    counts = figure10_counts(facts)
    leads = {"norm": _diagonal_lead(counts), "score": _diagonal_lead(counts.T)}
    every = np.concatenate(list(leads.values()))
    ranks, doubt = len(counts), 2 * READING_ERROR
    by_norm, by_score = (int(np.sum(lead >= 0)) for lead in leads.values())
    outcome, if_exact = _diagonal_outcome(every, doubt), _diagonal_outcome(every, 0.0)
    differs = "depends on the direction of reading" if by_norm != by_score else "is the same in both directions"
    return Audit(
        id="figure10-diagonal",
        statement="For every i the i-th highest score most likely goes to the expert with the i-th largest norm.",
        source="Figure 10, section 5.2",
        outcome=outcome,
        printed=f"{ranks} of {ranks} ranks",
        recomputed=f"{by_norm} of {ranks} along norm ranks, {by_score} of {ranks} along score ranks",
        reason=f"The count of ranks {differs}, and {int((np.abs(every) <= doubt).sum())} of {every.size} "
        "comparisons lie within reading error of the bars.",
        values=_leads_by_rank(leads)
        | {
            "ranks_along_norm": by_norm,
            "ranks_along_score": by_score,
            "smallest_lead": float(every.min()),
            "outcome_if_bars_were_exact": if_exact.value,
            "assumed_reading_error": READING_ERROR,
            "lead_needed": doubt,
        },
    )


def figure10_counts(facts: Paper) -> Counts:
    """Counts read from the bars, shape (E norm ranks, E score ranks), in tokens × layers."""
    bars = facts["figure10_rank_counts_mixtral_8x7b_read_from_bars_approx"]
    return np.array([bars[rank] for rank in sorted((key for key in bars if key.isdigit()), key=int)], dtype=np.float64)


def _rank_products(ranks: int) -> Counts:
    """(r − mean)(s − mean) of every pair of ranks r, s in 1..E."""
    centred = np.arange(ranks) - (ranks - 1) / 2
    return np.outer(centred, centred)


def _rank_variance(ranks: int) -> float:
    """Variance of the ranks 1..E, each taken once."""
    return (ranks**2 - 1) / 12


def _diagonal_lead(counts: Counts) -> Counts:
    """Lead of the diagonal over the largest other value of its row, in tokens, shape (E,)."""
    others = counts.copy()
    np.fill_diagonal(others, -np.inf)
    lead: Counts = np.diagonal(counts) - others.max(axis=1)
    return lead


def _diagonal_outcome(leads: Counts, doubt: float) -> AuditOutcome:
    """Outcome of the audit, given the leads of the diagonal; leads within ±``doubt`` are undecided."""
    if (leads < -doubt).any():
        return AuditOutcome.DISAGREES
    return AuditOutcome.AGREES if (leads >= doubt).all() else AuditOutcome.LACKS_POWER


def _leads_by_rank(leads: Mapping[str, Counts]) -> dict[str, Scalar]:
    return {f"lead at {side} rank {i}": float(lead) for side, row in leads.items() for i, lead in enumerate(row, 1)}
