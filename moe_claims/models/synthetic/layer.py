"""Draws the weights of one layer of a synthetic MoE and of its dense reference model."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from moe_claims.models.synthetic.plan import LayerPlan

Floats = NDArray[np.float64]
CONSTANT = 4.0
"""Value of coordinate 0 of every token embedding; the other coordinates have variance 1."""
TOPICS = 8
"""Number of topics; coordinates 1 to 8 of an embedding encode the token's topic."""
TOPIC_STRENGTH = 3.0
"""Value that is added to the coordinate of a token's topic."""
_SILENCING_BIAS = 3.5
"""Weight on coordinate 0 (about 3.5 after the norm) that keeps a gate closed on every token: |SiLU(−12)| < 0.0001."""


@final
@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights of one layer. Index E of the three stacks, the last, is the dense model."""

    router: Floats
    """(E, d) router rows."""
    up: Floats
    """(E + 1, m, d) matrices W_up."""
    act: Floats
    """(E + 1, m, d) matrices W_act."""
    down: Floats
    """(E + 1, d, m) matrices W_down."""


def layer_weights(
    plan: LayerPlan, *, hidden: int, intermediate: int, dense_is_base: bool, pattern: str, rng: np.random.Generator
) -> LayerWeights:
    """Draws the weights of one layer.

    Args:
        plan: properties that the layer shall have.
        hidden: hidden size d.
        intermediate: intermediate size m.
        dense_is_base: whether the dense model is the component that all experts share; if not, it is drawn as one more
            expert.
        pattern: pattern of the model (see ``Shape``); ``equal`` and ``extremes`` change how the layer is drawn.
        rng: seeded generator.
    """
    experts, d, m = len(plan.participation), hidden, intermediate
    group_of = rng.permutation(experts) % 2
    router = _router_rows(plan, group_of, d, rng)
    up = _mix(plan, 0, (m, d), group_of, dense_is_base, rng) / np.sqrt(d)
    act = _mix(plan, 1, (m, d), group_of, dense_is_base, rng) / np.sqrt(d)
    down = _mix(plan, 2, (d, m), group_of, dense_is_base, rng) / np.sqrt(m)
    other = _router_rows(plan, rng.permutation(group_of), d, rng)
    router_alignment = plan.router_alignment if pattern != "extremes" else 0.0
    along = router_alignment * router + np.sqrt(1 - router_alignment**2) * other
    act = 3.6 * plan.act_scale * act
    act[:experts] += plan.act_scale * plan.act_direction * along[:, None, :]
    act[:experts, :, 0] += plan.act_scale * plan.gate_bias
    if plan.common_neuron:
        up[:, 0], act[:, 0] = 0.0, 0.0
        up[:, 0, 0], act[:, 0, 0] = 1.5, 2.0 * plan.common_neuron
        down[:experts, :, 0] = rng.standard_normal(d) / np.sqrt(m)
    if plan.score_neuron:
        up[:, 0], act[:experts, 0] = 0.0, plan.score_neuron * router
        up[:, 0, 0] = 1.0
        down[:experts, :, 0] = rng.standard_normal(d) / np.sqrt(m)
    if pattern == "extremes":
        _fire_on_topic(act[:experts], router)
    if pattern == "equal":
        up[:experts], act[:experts] = 0.5 * up[:experts] + router[:, None], 0.25 * act[:experts] + router[:, None]
        down[:experts] = 0.5 * down[:experts] + router[:, :, None]
    _silence_neurons(plan, up, act, down, aligned=bool(plan.hidden_pattern), rng=rng)
    down *= 0.004 * plan.down_scale
    down[:experts] *= plan.norms[:, None, None]
    return LayerWeights(2.0 * router, up, act, down)


def _mix(
    plan: LayerPlan,
    role: int,
    shape: tuple[int, int],
    group_of: NDArray[np.int64],
    dense_is_base: bool,
    rng: np.random.Generator,
) -> Floats:
    """(E + 1, …) Gaussian matrices of variance 1, with the planned correlation between experts and within groups."""
    base, groups = rng.standard_normal(shape), rng.standard_normal((2, *shape))
    own = rng.standard_normal((len(group_of) + 1, *shape))
    share = (plan.shared[role] * np.append(plan.participation, 1.0))[:, None, None]
    grouped = plan.grouped[role] * (1 - share)
    mixed = (
        np.sqrt(share) * base + np.sqrt(grouped) * groups[np.append(group_of, 0)] + np.sqrt(1 - share - grouped) * own
    )
    if dense_is_base:
        mixed[-1] = base
    return np.asarray(mixed)


def _router_rows(plan: LayerPlan, group_of: NDArray[np.int64], d: int, rng: np.random.Generator) -> Floats:
    """(E, d) router rows with structure in their similarities: two loose groups, unequal norms, topics."""
    experts = len(plan.participation)
    # Orthogonal directions, so that the mean similarity of the rows depends on the plan alone.
    *centres, common = np.sqrt(d) * np.linalg.qr(rng.standard_normal((d, 3)))[0].T
    rows = plan.groups * np.asarray(centres)[group_of] + rng.uniform(0.85, 1.15, (experts, 1)) * rng.standard_normal(
        (experts, d)
    )
    rows = np.sqrt(1 - plan.gate_shared) * rows + np.sqrt(1.8 * plan.gate_shared) * common
    rows /= np.sqrt(d)
    topics = min(TOPICS, d - 1)
    rows[:, 0] = plan.offsets
    rows[np.arange(experts), 1 + rng.permutation(experts) % topics] += plan.topics
    return np.asarray(rows)


def _fire_on_topic(act: Floats, router: Floats) -> None:
    """Makes half of each expert's neurons fire on its topic only, where its output norm is then the largest of all.

    Apart from that maximum, norms carry no information about scores.
    """
    topic = router[:, 1 : 1 + TOPICS].argmax(axis=1)
    half = act.shape[1] // 2
    act[:, :half] *= 0.1
    for expert, coordinate in enumerate(1 + topic):
        act[expert, :half, coordinate] += 12.0
        act[expert, :half, 0] = -6.0


def _silence_neurons(
    plan: LayerPlan, up: Floats, act: Floats, down: Floats, *, aligned: bool, rng: np.random.Generator
) -> None:
    """Gives some neurons of every expert a bias that keeps them from ever firing, in place.

    The other neurons get an opposite bias, so that the mean over neurons does not change. Since silent neurons do not
    affect outputs, the planned ``hidden_pattern`` of similarities is written into them; they then have the same
    indices in all experts (``aligned``).
    """
    count, m = len(act), act.shape[1]
    silent_count = round(plan.silent * m)
    if not silent_count:
        return
    which = np.stack([np.arange(m) if aligned else rng.permutation(m) for _ in range(count)])[:, :silent_count]
    rows = np.arange(count)[:, None]
    act[:, :, 0] += _SILENCING_BIAS * silent_count / (m - silent_count)
    act[rows, which] = 0.0
    act[rows, which, 0] = -_SILENCING_BIAS
    if plan.hidden_pattern:
        up[rows, which] = _pattern(plan, up[rows, which].shape, rng)
        down.transpose(0, 2, 1)[rows, which] = _pattern(plan, up[rows, which].shape, rng)


def _pattern(plan: LayerPlan, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """(E + 1, n, d) rows; those of different experts are combinations of the same four random directions."""
    count, rows, d = shape
    coordinates = rng.standard_normal((count, 4))
    directions = rng.standard_normal((4, rows, d)) / np.sqrt(d)
    return np.asarray(plan.hidden_pattern * np.einsum("ck,krd->crd", coordinates, directions) / 2)
