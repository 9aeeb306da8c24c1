"""The weights of one layer of a synthetic MoE, and of the dense model that it is compared with."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from moe_claims.models.synthetic.plan import LayerPlan

Floats = NDArray[np.float64]
CONSTANT = 4.0
"""Coordinate 0 of every token embedding; the others have variance 1."""
TOPICS = 8
"""Coordinates 1 to 8 say what a token is about."""
ABOUT = 3.0
"""What a token's topic adds to its coordinate."""
_ASLEEP = 3.5
"""Pull of coordinate 0, of about 3.5 after the norm, that closes a gate for good: |SiLU(−12)| < 0.0001."""


@final
@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Experts first; the last row of the matrices is the dense model."""

    router: Floats
    """(E, d)."""
    up: Floats
    """(E + 1, m, d)."""
    act: Floats
    """(E + 1, m, d)."""
    down: Floats
    """(E + 1, d, m)."""


def layer_weights(
    plan: LayerPlan, *, hidden: int, intermediate: int, dense_is_base: bool, pattern: str, rng: np.random.Generator
) -> LayerWeights:
    """Draws a layer.

    Args:
        plan: what it is to be like.
        hidden: d.
        intermediate: m.
        dense_is_base: whether the dense model is what the experts share; otherwise it is one more expert.
        pattern: ``equal`` makes all three matrices follow the router rows, ``extremes`` only the largest norms.
        rng: seeded generator.
    """
    experts, d, m = len(plan.loners), hidden, intermediate
    member = rng.permutation(experts) % 2
    router = _router_rows(plan, member, d, rng)
    up = _mix(plan, 0, (m, d), member, dense_is_base, rng) / np.sqrt(d)
    act = _mix(plan, 1, (m, d), member, dense_is_base, rng) / np.sqrt(d)
    down = _mix(plan, 2, (d, m), member, dense_is_base, rng) / np.sqrt(m)
    other = _router_rows(plan, rng.permutation(member), d, rng)
    follows = plan.follows if pattern != "extremes" else 0.0
    along = follows * router + np.sqrt(1 - follows**2) * other
    act = 3.6 * plan.act_scale * act
    act[:experts] += plan.act_scale * plan.steers * along[:, None, :]
    act[:experts, :, 0] += plan.act_scale * plan.opens
    if plan.loud:
        up[:, 0], act[:, 0] = 0.0, 0.0
        up[:, 0, 0], act[:, 0, 0] = 1.5, 2.0 * plan.loud
        down[:experts, :, 0] = rng.standard_normal(d) / np.sqrt(m)
    if plan.speaks:
        up[:, 0], act[:experts, 0] = 0.0, plan.speaks * router
        up[:, 0, 0] = 1.0
        down[:experts, :, 0] = rng.standard_normal(d) / np.sqrt(m)
    if pattern == "extremes":
        _fire_on_topic(act[:experts], router)
    if pattern == "equal":
        up[:experts], act[:experts] = 0.5 * up[:experts] + router[:, None], 0.25 * act[:experts] + router[:, None]
        down[:experts] = 0.5 * down[:experts] + router[:, :, None]
    _put_to_sleep(plan, up, act, down, aligned=bool(plan.hidden_pattern), rng=rng)
    down *= 0.004 * plan.down_scale
    down[:experts] *= plan.norms[:, None, None]
    return LayerWeights(2.0 * router, up, act, down)


def _mix(
    plan: LayerPlan,
    role: int,
    shape: tuple[int, int],
    member: NDArray[np.int64],
    dense_is_base: bool,
    rng: np.random.Generator,
) -> Floats:
    """(E + 1, …) Gaussian matrices of variance 1; two experts share the plan's part, two of one group some more."""
    base, groups = rng.standard_normal(shape), rng.standard_normal((2, *shape))
    own = rng.standard_normal((len(member) + 1, *shape))
    share = (plan.shared[role] * np.append(plan.loners, 1.0))[:, None, None]
    grouped = plan.grouped[role] * (1 - share)
    mixed = np.sqrt(share) * base + np.sqrt(grouped) * groups[np.append(member, 0)] + np.sqrt(1 - share - grouped) * own
    if dense_is_base:
        mixed[-1] = base
    return np.asarray(mixed)


def _router_rows(plan: LayerPlan, member: NDArray[np.int64], d: int, rng: np.random.Generator) -> Floats:
    """(E, d) rows with a similarity pattern worth following: two loose groups, unequal spread, topics."""
    experts = len(plan.loners)
    # At right angles, so that how alike the rows are on average depends on the plan alone.
    *centres, common = np.sqrt(d) * np.linalg.qr(rng.standard_normal((d, 3)))[0].T
    rows = plan.groups * np.asarray(centres)[member] + rng.uniform(0.85, 1.15, (experts, 1)) * rng.standard_normal(
        (experts, d)
    )
    rows = np.sqrt(1 - plan.gate_shared) * rows + np.sqrt(1.8 * plan.gate_shared) * common
    rows /= np.sqrt(d)
    topics = min(TOPICS, d - 1)
    rows[:, 0] = plan.offsets
    rows[np.arange(experts), 1 + rng.permutation(experts) % topics] += plan.topics
    return np.asarray(rows)


def _fire_on_topic(act: Floats, router: Floats) -> None:
    """Half of an expert's neurons fire on its topic alone: its norm is then the largest, and says nothing else."""
    topic = router[:, 1 : 1 + TOPICS].argmax(axis=1)
    half = act.shape[1] // 2
    act[:, :half] *= 0.1
    for expert, coordinate in enumerate(1 + topic):
        act[expert, :half, coordinate] += 12.0
        act[expert, :half, 0] = -6.0


def _put_to_sleep(
    plan: LayerPlan, up: Floats, act: Floats, down: Floats, *, aligned: bool, rng: np.random.Generator
) -> None:
    """Some neurons of every expert never fire; the others make up for their bias, so that no mean moves.

    Neurons that never fire can hold any similarity pattern without a trace in the outputs.
    They are the same in all experts where they hold one.
    """
    count, m = len(act), act.shape[1]
    sleepers = round(plan.asleep * m)
    if not sleepers:
        return
    which = np.stack([np.arange(m) if aligned else rng.permutation(m) for _ in range(count)])[:, :sleepers]
    rows = np.arange(count)[:, None]
    act[:, :, 0] += _ASLEEP * sleepers / (m - sleepers)
    act[rows, which] = 0.0
    act[rows, which, 0] = -_ASLEEP
    if plan.hidden_pattern:
        up[rows, which] = _pattern(plan, up[rows, which].shape, rng)
        down.transpose(0, 2, 1)[rows, which] = _pattern(plan, up[rows, which].shape, rng)


def _pattern(plan: LayerPlan, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """(E + 1, n, d) rows, one direction for each expert, in a space of four dimensions."""
    count, rows, d = shape
    coordinates = rng.standard_normal((count, 4))
    directions = rng.standard_normal((4, rows, d)) / np.sqrt(d)
    return np.asarray(plan.hidden_pattern * np.einsum("ck,krd->crd", coordinates, directions) / 2)
