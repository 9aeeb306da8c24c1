"""Power: how often each claim is found, by size of effect, on planted models of different strengths."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import final

import numpy as np

from moe_claims import __version__, texts
from moe_claims.judge.claim import Claim, key_of
from moe_claims.models.synthetic.build import Shape
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.simulation.calibration import EXTREMES, TEXTS, UPCYCLED, Rate, asked_for
from moe_claims.simulation.power_over_depth import DepthPower, effect_that_is_reached, layers_that_reach
from moe_claims.simulation.power_over_depth import summary as depth_summary
from moe_claims.simulation.trials import ALPHA, ONE_TEXT, THREE_TEXTS, Row, Setup, run
from moe_claims.types import Verdict

STRENGTHS = {
    "all": (0.0, 0.05, 0.1, 0.2, 0.35, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0),
    "extremes": (0.0, 0.2, 0.6, 0.8, 1.0),
    "upcycled": (0.0, 0.003, 0.01, 0.05, 0.2, 0.6, 1.0),
    "texts": (0.0, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0),
}
"""Kind of planted model → strengths, closer together near the smallest effects of interest."""
WANTED = 0.8
"""Desired power at the smallest effect of interest."""
_OVER_DEPTH = {
    "diversity-depth": "trend",
    "weight-diversity-depth": "trend",
    "norm-grows-with-depth": "trend",
    "activation-grows-with-depth": "trend",
    "gate-act-opposite-trends": "trend",
    "last-layer-outlier": "last layer",
    "weight-last-layer-outlier": "last layer",
    "gate-last-layer": "last layer",
    "last-layer-norm-spread": "last layer",
}
"""Claims over depth → the simulated test that represents theirs."""
_TRENDS = {"gate-act-opposite-trends": 2}
"""Claims that need several trends at once → their number; the effect is the difference of the trends."""
_OWN = {"extremes": EXTREMES, "upcycled": UPCYCLED, "texts": TEXTS}
"""Kind of planted model → claims that need it; they are analysed alone."""


def _kind_of(claim: Claim) -> str:
    return next((kind for kind, claims in _OWN.items() if claim.id in claims), "all")


def setup_of(strength: float, kind: str = "all") -> Setup:
    """Setup of planted models of one strength.

    Args:
        strength: strength of the planted effect.
        kind: pattern ``all``, ``extremes`` or ``upcycled``, or ``texts`` for three texts.
    """
    options = f"seed={{seed}}&strength={strength}&pattern={'all' if kind == 'texts' else kind}"
    model, dense = f"synthetic:planted?{options}", f"synthetic:dense?{options}"
    if kind == "all":
        return Setup(model, dense, f"{model}&noise={0.1 + 4 * (1 - strength):.2f}")
    texts = THREE_TEXTS if kind == "texts" else ONE_TEXT
    return Setup(model, dense if kind == "upcycled" else None, texts=texts, claims=_OWN[kind])


@final
@dataclass(frozen=True)
class Point:
    """A point of a power curve: mean effect at one strength, and how often the claim was found."""

    effect: float
    found: Rate


@final
@dataclass(frozen=True)
class Curve:
    """Power of one claim and variant over its effect."""

    claim: Claim
    variant: str | None
    points: tuple[Point, ...]
    """Points in order of strength. Strengths at which the claim applies to less than a fifth of the models are left
    out, as are single models to which it does not apply."""

    @property
    def at_smallest(self) -> float | None:
        """Power at the smallest effect of interest, interpolated; None if no strength reaches it."""
        return _cross([p.effect * self.claim.direction for p in self.points], [p.found.share for p in self.points],
                      abs(self.claim.smallest))  # fmt: skip

    @property
    def effect_found(self) -> float | None:
        """Interpolated effect that is found with the desired power; None if no strength reaches that power."""
        shares = [p.found.share for p in self.points]
        if shares and shares[0] >= WANTED:
            return self.points[0].effect
        return _cross(shares, [p.effect for p in self.points], WANTED)


def _cross(x: Sequence[float], y: Sequence[float], at: float) -> float | None:
    """The value of y where x first reaches ``at``, with linear interpolation between points."""
    if x and x[0] >= at:  # an effect of 0 is almost never found
        return y[0] * at / x[0]
    for (x0, x1), (y0, y1) in zip(pairwise(x), pairwise(y), strict=True):
        if x0 < at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return None


def power(*, seeds: int, workers: int, log: Path, claims: Sequence[str] = tuple(LIVE)) -> list[Curve]:
    """The power curves of some claims; runs the models of all strengths that are missing in the log.

    Args:
        seeds: number of models of each strength.
        workers: number of processes.
        log: file of JSON lines, one per model; an interrupted run resumes from it.
        claims: the claims that are asked about; those that their kinds of models are analysed with are analysed too,
            so that the correction and the log are those of the whole.

    Raises:
        UsageError: the log was written by another version.
    """
    asked = [LIVE[claim] for claim in claims]
    kinds = {_kind_of(claim) for claim in asked}
    setups = [setup_of(strength, kind) for kind in STRENGTHS if kind in kinds for strength in STRENGTHS[kind]]
    rows = run(setups, seeds, workers=workers, log=log, label="measuring power")
    return [curve(claim, variant, rows) for claim in asked for variant in claim.variants]


def curve(claim: Claim, variant: str | None, rows: Mapping[str, Sequence[Row]]) -> Curve:
    """The power curve of one claim and variant, from the rows of all setups."""
    kind = _kind_of(claim)
    points = []
    for strength in STRENGTHS[kind]:
        found = [row["claims"][key_of(claim.id, variant)] for row in rows[setup_of(strength, kind).name]]
        applies = [row for row in found if row["effect"] is not None]
        if applies and 5 * len(applies) >= len(found):
            effect = float(np.mean([row["effect"] for row in applies]))
            points.append(Point(effect, Rate(sum(_is_found(claim, row) for row in applies), len(applies))))
    return Curve(claim, variant, tuple(points))


def _is_found(claim: Claim, row: Row) -> bool:
    """Whether a claim is significant in its direction after correction; for rule ``level``, whether it replicated."""
    if claim.rule == "level":
        return bool(row["verdict"] == Verdict.REPLICATED)
    return bool(row["verdict"] in (Verdict.REPLICATED, Verdict.DIRECTION_ONLY))


def summary(curves: Sequence[Curve], depth: Sequence[DepthPower], seeds: int, figure: str) -> str:
    """The power of every claim as Markdown.

    Args:
        curves: curves, one per claim and variant.
        depth: power of the tests over depth by number of layers; empty if no curve needs layers.
        seeds: number of models of each strength.
        figure: file name of the figure.
    """
    claims = tuple(dict.fromkeys(one.claim.id for one in curves))
    lines = [
        "| claim | smallest effect of interest | power there | effect found in 80 % | 80 % at the smallest effect |",
        "|---|---|---|---|---|",
        *(_line(one, depth) for one in curves),
    ]
    parts = [
        "# Power",
        "How often a claim is found (significant in the claimed direction after correction for multiple testing) "
        "when the effect has a given size. Planted models of growing strength, from 0 (nothing planted) to 1, with "
        f"{Shape().layers} layers and {Shape().experts} experts, on the embedded prose ({_sequences()} sequences, of "
        f"at most {Shape().context} tokens as these models read it). "
        "Between two strengths power and mean effect are interpolated; below the smallest effect that these models "
        "have, power is taken in proportion to the effect, which understates it. A claim of level (*at least 0.95*) "
        "has at the level itself the power of its error rate, by definition; it is found when the whole interval lies "
        "above.",
        "The last column says what would bring the power at the smallest effect to 80 %. For claims over depth that "
        "is read from the simulations below. For others it is the normal approximation, in which errors fall with the "
        "root of the number of layers (where chance lies in labels or layers) or of sequences; it takes the level of 5 "
        "% before any correction, and so asks for rather too many.",
        f"Made by `python -m moe_claims power --seeds {seeds}{asked_for(claims)} --output docs/power.md` with "
        f"moe_claims {__version__}.",
        f"![Share of models in which each claim is found, over its mean effect]({figure})",
        "\n".join(lines),
        *([depth_summary(depth)] if depth else []),
    ]
    return "\n\n".join(parts) + "\n"


def _line(one: Curve, depth: Sequence[DepthPower]) -> str:
    smallest, there, enough = one.claim.smallest, one.at_smallest, one.effect_found
    power_there = "–" if one.claim.rule == "level" or there is None else f"{100 * there:.0f} %"
    effect = "not reached" if enough is None else f"{enough:.2g}"
    cells = (key_of(one.claim.id, one.variant), f"{smallest:g}", power_there, effect, _reached_with(one, depth))
    return "| " + " | ".join(cells) + " |"


def _reached_with(one: Curve, depth: Sequence[DepthPower]) -> str:
    """Text that says which sample size gives a power of 80 % at the smallest effect of interest."""
    if one.claim.rule == "level":
        return "by no size: a claim of level"
    if one.at_smallest is not None and one.at_smallest >= WANTED:
        return "with this text and these layers"
    tested = _tested(one)
    if tested in _OVER_DEPTH:
        return _layers_wanted(LIVE[tested], depth)
    times = None if one.at_smallest is None else times_as_many(one.at_smallest)
    if times is None:
        return "not known: next to none is found here"
    if "layer" in one.claim.unit:
        return f"with about {math.ceil(times * Shape().layers)} layers"
    return f"with about {math.ceil(times * _sequences())} sequences"


def needs_layers(one: Curve) -> bool:
    """Whether what would raise the power is a number of layers, which is read from simulations without models."""
    return _tested(one) in _OVER_DEPTH


def _tested(one: Curve) -> str | None:
    """The claim that a claim or variant tests."""
    return one.variant if one.claim.id in TEXTS else one.claim.id


def _sequences() -> int:
    return len(texts.load(*ONE_TEXT).passages)


def _layers_wanted(claim: Claim, depth: Sequence[DepthPower]) -> str:
    """Text on the number of layers that a claim over depth needs, from the simulations."""
    test, trends = _OVER_DEPTH[claim.id], _TRENDS.get(claim.id, 1)
    wanted = WANTED ** (1 / trends)
    layers = layers_that_reach(depth, test, abs(claim.smallest) / trends, wanted)
    if layers is not None:
        return f"with about {layers} layers"
    enough = effect_that_is_reached(depth, test, Shape().layers, wanted)
    return "by no number of layers" + ("" if enough is None else f"; {enough:g} is reached with {Shape().layers}")


def times_as_many(found: float) -> float | None:
    """Factor on the number of units that raises a power to the desired one; None if the power is below the level.

    A z statistic grows with the square root of the number of units. The level before correction is used; a
    stricter one would give a smaller factor.

    Args:
        found: the power.
    """
    level = NormalDist().inv_cdf(1 - ALPHA)
    if found <= ALPHA:
        return None
    return ((level + NormalDist().inv_cdf(WANTED)) / (level + NormalDist().inv_cdf(min(found, WANTED)))) ** 2
