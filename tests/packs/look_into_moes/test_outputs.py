"""Similarity of expert outputs, on made-up measurements whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from moe_claims.errors import NotComparableError
from moe_claims.judge.verdict import decide
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import Floats, RoutedMeasurement, WeightMeasurement
from moe_claims.packs.look_into_moes.outputs import chosen_alike, r_over_sequences, weights_mirror
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap
from moe_claims.stats.mantel import pearson
from moe_claims.stats.permutation import off_diagonal
from moe_claims.types import Finding, Verdict

MadeRouted = Callable[..., RoutedMeasurement]
MadeWeights = Callable[..., WeightMeasurement]
LAYERS, SEQUENCES, TOKENS, EXPERTS, TOP_K = 6, 14, 20, 8, 2


def verdict(claim: str, finding: Finding) -> Verdict:
    return decide(LIVE[claim], finding, finding.p_value, finding.p_opposite, 0.05).verdict


def symmetric(rng: np.random.Generator, *shape: int) -> Floats:
    values = rng.standard_normal(shape)
    return (values + np.swapaxes(values, -1, -2)) / 2


# --- weights-mirror-outputs ----------------------------------------------------------------------


@pytest.fixture
def mirror(made_up_routed: MadeRouted, made_up_weights: MadeWeights) -> Callable[..., Finding]:
    """(share of the weights' pattern in the outputs, seed, experts) → the finding on W_up."""

    def run(share: float, seed: int, experts: int = EXPERTS) -> Finding:
        rng = np.random.default_rng(seed)
        weights = made_up_weights(layers=3, experts=experts, seed=seed)
        pattern = share * weights.matrix["up"] + (1 - abs(share)) * 0.2 * symmetric(rng, 3, experts, experts)
        alike = 0.6 + 0.3 * pattern[:, None] + 0.1 * symmetric(rng, 3, SEQUENCES, experts, experts)
        routed = made_up_routed(
            layers=3, sequences=SEQUENCES, tokens=TOKENS, experts=experts, angular_sums=TOKENS * alike
        )
        return weights_mirror("up", Measured(weights, routed), np.random.default_rng(seed))

    return run


def test_outputs_that_follow_the_weights_replicate(mirror: Callable[..., Finding]) -> None:
    found = mirror(0.8, 1)
    assert verdict("weights-mirror-outputs", found) == Verdict.REPLICATED
    assert found.details["layers_positive"] == found.details["layers"] == 3
    assert found.interval.low < found.effect < found.interval.high


def test_outputs_that_go_against_them_contradict(mirror: Callable[..., Finding]) -> None:
    assert verdict("weights-mirror-outputs", mirror(-0.8, 2)) == Verdict.CONTRADICTED


def test_unrelated_outputs_hold_the_level(mirror: Callable[..., Finding]) -> None:
    found = [mirror(0.0, seed) for seed in range(30)]
    for small in (sum(f.p_value <= 0.05 for f in found), sum(f.p_opposite <= 0.05 for f in found)):
        assert binomtest(small, 30, 0.05, alternative="greater").pvalue > 0.001


def test_the_matrix_is_that_of_the_variant(made_up_routed: MadeRouted, made_up_weights: MadeWeights) -> None:
    weights = made_up_weights(layers=LAYERS)
    upper = np.triu_indices(EXPERTS, 1)
    for variant in LIVE["weights-mirror-outputs"].variants:
        assert variant is not None
        alike = np.repeat(weights.matrix[variant][:, None], SEQUENCES, axis=1)  # type: ignore[index]
        routed = made_up_routed(layers=LAYERS, sequences=SEQUENCES, tokens=1, angular_sums=alike)
        found = weights_mirror(variant, Measured(weights, routed), np.random.default_rng(0))
        assert found.effect == pytest.approx(1.0)
        mean = weights.mean[variant]  # type: ignore[index]
        r = [np.corrcoef(alike[layer, 0][upper], mean[layer][upper])[0, 1] for layer in range(LAYERS)]
        assert found.details["r_with_mean_neurons"] == pytest.approx(np.mean(r))


def test_interval_over_sequences_is_that_of_the_similarities_themselves(made_up_routed: MadeRouted) -> None:
    rng = np.random.default_rng(3)
    matrix = symmetric(rng, LAYERS, EXPERTS, EXPERTS)
    lengths = rng.integers(10, 30, SEQUENCES)
    alike = 0.6 + 0.1 * matrix[:, None] + 0.3 * symmetric(rng, LAYERS, SEQUENCES, EXPERTS, EXPERTS)
    routed = made_up_routed(layers=LAYERS, lengths=lengths, angular_sums=lengths[:, None, None] * alike)
    pairs = off_diagonal(routed.angular_sums)  # (L, S, P)

    def mean_r(means: Floats) -> Floats:
        return pearson(means.reshape(len(means), LAYERS, -1), off_diagonal(matrix)).mean(axis=1)

    columns = np.moveaxis(pairs, 0, 1).reshape(SEQUENCES, -1)
    plain = cluster_bootstrap(columns, lengths, mean_r, rng=np.random.default_rng(4))[0]
    ours = r_over_sequences(routed, matrix, np.random.default_rng(4))
    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=1e-9)
    assert ours.method == "BCa bootstrap over sequences"


def test_few_experts_are_not_comparable(mirror: Callable[..., Finding]) -> None:
    with pytest.raises(NotComparableError, match="need at least 5 experts; this model has 4"):
        mirror(0.5, 1, experts=4)


# --- chosen-alike --------------------------------------------------------------------------------


@pytest.fixture
def alike(made_up_routed: MadeRouted, made_up_weights: MadeWeights) -> Callable[..., Measured]:
    """(similarities (L, T, E, E) of every token, logits (L, T, E)) → measured as a model would be."""

    def make(similarity: Floats, logits: Floats, top_k: int = TOP_K) -> Measured:
        layers, tokens, experts = logits.shape
        chosen = np.argsort(-logits, axis=-1, kind="stable")[..., :top_k]
        member = np.zeros(logits.shape)
        np.put_along_axis(member, chosen, 1.0, axis=-1)
        off = similarity * (1 - np.eye(experts))
        means = [
            np.einsum("lte,ltef,ltf->lt", side, off, side) / (size * (size - 1))
            for side, size in ((member, top_k), (1 - member, experts - top_k))
        ]
        shape = (layers, SEQUENCES, tokens // SEQUENCES)
        routed = made_up_routed(
            layers=layers, sequences=SEQUENCES, tokens=tokens // SEQUENCES, experts=experts, top_k=top_k,
            router_logits=logits,
            angular_sums=similarity.reshape(*shape, experts, experts).sum(axis=2),
            chosen_similarity=np.stack(means, axis=-1).reshape(*shape, 2).sum(axis=2),
        )  # fmt: skip
        return Measured(made_up_weights(), routed)

    return make


def tokens_of(rng: np.random.Generator, layers: int = LAYERS) -> tuple[Floats, Floats]:
    """Similarities and logits with static patterns of their own, and noise."""
    shape = (layers, SEQUENCES * TOKENS, EXPERTS)
    similarity = 0.6 + 0.1 * symmetric(rng, layers, 1, EXPERTS, EXPERTS) + 0.1 * symmetric(rng, *shape, EXPERTS)
    return similarity, rng.standard_normal((layers, 1, EXPERTS)) + rng.standard_normal(shape)


def both(given: Measured) -> tuple[Finding, Finding]:
    rng = np.random.default_rng(0)
    return chosen_alike("total", given, rng), chosen_alike("token-specific", given, rng)


def together(logits: Floats) -> Floats:
    """1 for the pairs that are chosen, else 0."""
    first = np.sort(logits, axis=-1)[..., -TOP_K : -TOP_K + 1]
    member = (logits >= first).astype(float)
    return member[..., :, None] * member[..., None, :]


def test_pairs_alike_on_average_that_are_chosen_together_are_the_static_part(alike: Callable[..., Measured]) -> None:
    rng = np.random.default_rng(1)
    similarity, logits = tokens_of(rng)
    similarity = similarity + 0.5 * together(logits).mean(axis=1, keepdims=True)
    total, specific = both(alike(similarity, logits))
    assert verdict("chosen-alike", total) == Verdict.REPLICATED
    assert verdict("chosen-alike", specific) == Verdict.ABSENT


def test_pairs_more_alike_where_they_are_chosen_are_the_token_specific_part(alike: Callable[..., Measured]) -> None:
    rng = np.random.default_rng(2)
    similarity, logits = tokens_of(rng)
    total, specific = both(alike(similarity + 0.1 * together(logits), logits))
    assert verdict("chosen-alike", specific) == Verdict.REPLICATED
    assert specific.effect < total.details["token_specific_part"] + 1e-9
    assert specific.interval.low < specific.effect < specific.interval.high


def test_pairs_less_alike_where_they_are_chosen_contradict(alike: Callable[..., Measured]) -> None:
    similarity, logits = tokens_of(np.random.default_rng(3))
    total, specific = both(alike(similarity - 0.3 * together(logits), logits))
    assert verdict("chosen-alike", specific) == Verdict.CONTRADICTED
    assert total.effect < 0


def test_the_parts_add_up_to_the_total(alike: Callable[..., Measured]) -> None:
    given = alike(*tokens_of(np.random.default_rng(4)))
    total, specific = both(given)
    assert total.details == specific.details
    assert total.effect == pytest.approx(total.details["among_chosen"] - total.details["among_others"])
    assert total.effect == pytest.approx(total.details["static_part"] + total.details["token_specific_part"])
    assert specific.effect == total.details["token_specific_part"]


def test_static_part_is_mean_similarity_times_mean_choice(alike: Callable[..., Measured]) -> None:
    # The same in every token: nothing is specific to tokens, whatever is chosen.
    rng = np.random.default_rng(5)
    _, logits = tokens_of(rng)
    fixed = symmetric(rng, LAYERS, 1, EXPERTS, EXPERTS) * np.ones((1, SEQUENCES * TOKENS, 1, 1))
    total, specific = both(alike(fixed, logits))
    assert specific.effect == pytest.approx(0.0, abs=1e-12)
    assert total.effect == pytest.approx(total.details["static_part"])


def test_a_total_that_is_hardly_static_falls_short(alike: Callable[..., Measured]) -> None:
    rng = np.random.default_rng(6)
    logits = rng.standard_normal((LAYERS, SEQUENCES * TOKENS, EXPERTS))  # no pair is chosen more often than another
    similarity, _ = tokens_of(rng)
    total, _ = both(alike(similarity + 0.1 * together(logits), logits))
    static = total.details["static_part"]
    assert isinstance(static, float)
    assert abs(static) < LIVE["chosen-alike"].smallest < total.effect
    assert total.falls_short == f"pairs that are alike on average make only {static:.3f} of it"
    assert verdict("chosen-alike", total) != Verdict.REPLICATED


def test_unrelated_patterns_hold_the_level(alike: Callable[..., Measured]) -> None:
    # Awkward: each layer's similarities move with its logits, by a pattern that has nothing to do with the pairs.
    rates = {"total": 0, "token-specific": 0}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        similarity, logits = tokens_of(rng)
        response = 0.05 * symmetric(rng, LAYERS, EXPERTS, EXPERTS, EXPERTS)
        similarity = similarity + np.einsum("lte,lefg->ltfg", logits, response)
        given = alike(similarity, logits)
        for variant in rates:
            rates[variant] += chosen_alike(variant, given, rng).p_value <= 0.05
    for small in rates.values():
        assert binomtest(small, 30, 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("top_k", [1, 7])
def test_one_side_without_a_pair_is_not_comparable(
    made_up_routed: MadeRouted, made_up_weights: MadeWeights, top_k: int
) -> None:
    given = Measured(made_up_weights(), made_up_routed(top_k=top_k))
    with pytest.raises(NotComparableError, match=f"this model chooses {top_k} of 8 experts"):
        chosen_alike("total", given, np.random.default_rng(0))


def test_one_layer_cannot_tell_accident_from_rule(alike: Callable[..., Measured]) -> None:
    given = alike(*tokens_of(np.random.default_rng(0), layers=1))
    # One layer of 8 experts has 40,320 relabelings; signs of sequences, of which 9,999 are drawn, reach no further.
    assert chosen_alike("total", given, np.random.default_rng(0)).smallest_p == pytest.approx(1e-4)
    with pytest.raises(NotComparableError, match="2 or more are needed"):
        chosen_alike("token-specific", given, np.random.default_rng(0))
