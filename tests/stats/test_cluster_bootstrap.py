"""Flips and resamples of whole sequences against Fisher's and SciPy's numbers."""

from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, norm, permutation_test, t, ttest_1samp

from moe_claims.stats import cluster_bootstrap as module
from moe_claims.stats.cluster_bootstrap import cluster_bootstrap, jackknife_over_sequences, sign_flips
from moe_claims.stats.permutation import Floats
from moe_claims.stats.trend import kendall_tau
from moe_claims.types import Interval

SEEDS = st.integers(0, 2**32 - 1)
RNG = "rng" if "rng" in signature(bootstrap).parameters else "random_state"  # before SciPy 1.15


def first(means: Floats) -> Floats:
    return means[:, 0]


def mean_interval(values: Floats, seed: int = 0, **options: object) -> tuple[Interval, ...]:
    """Of plain values, one token each."""
    return cluster_bootstrap(
        np.asarray(values)[:, None],
        np.ones(len(values)),
        first,
        rng=np.random.default_rng(seed),
        **options,  # type: ignore[arg-type]
    )


# --- sign flips ----------------------------------------------------------------------------------


def test_darwins_maize() -> None:
    # Fisher, The Design of Experiments (1935), section 21: of the 32,768 ways to give signs to Darwin's 15
    # differences, 863 have a sum of 314 or more.
    differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sum(differences) == 314
    result = sign_flips(differences, rng=np.random.default_rng(0))
    assert not result.exact
    assert binomtest(round(result.p_greater * 10_000) - 1, 9_999, 863 / 32_768).pvalue > 0.001


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-99, 99).map(lambda v: v / 32), min_size=2, max_size=9))  # sums without rounding
def test_enumerated_flips_are_scipys(values: list[float]) -> None:
    ours = sign_flips(values, rng=np.random.default_rng(0))
    assert ours.exact and ours.smallest_p == 0.5 ** len(values)
    for alternative, p in (("greater", ours.p_greater), ("less", ours.p_less)):
        theirs = permutation_test(
            (np.array(values),), np.sum, permutation_type="samples", alternative=alternative, n_resamples=np.inf
        )
        assert p == pytest.approx(theirs.pvalue, abs=1e-12)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20), SEEDS)
def test_turning_all_signs_swaps_the_tails(values: list[float], seed: int) -> None:
    plain = sign_flips(values, rng=np.random.default_rng(seed), resamples=99)
    turned = sign_flips([-v for v in values], rng=np.random.default_rng(seed), resamples=99)
    assert (turned.p_greater, turned.p_less) == (plain.p_less, plain.p_greater)
    assert plain.p_greater + plain.p_less >= 1.0


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=16), st.integers(-14, 14), SEEDS)
def test_flips_do_not_depend_on_units(values: list[int], power: int, seed: int) -> None:
    plain, scaled = (
        sign_flips(np.array(values) * unit, rng=np.random.default_rng(seed), resamples=99)
        for unit in (1.0, 10.0**power)
    )
    assert (plain.p_greater, plain.p_less) == (scaled.p_greater, scaled.p_less)


@pytest.mark.parametrize("sequences", [5, 10, 13, 14, 40])
def test_flips_hold_their_level(sequences: int) -> None:
    # Lengths differ widely: the contributions are symmetric, not identically distributed.
    rng = np.random.default_rng(sequences)
    lengths = rng.integers(1, 200, sequences)
    ps = [sign_flips(lengths * rng.standard_normal(sequences), rng=rng, resamples=99).p_greater for _ in range(400)]
    nominal = np.floor(0.05 * 2**sequences) / 2**sequences if sequences <= 13 else 0.05
    assert binomtest(int(np.sum(np.array(ps) <= 0.05)), 400, nominal).pvalue > 0.001


def test_a_sign_that_sequences_share_is_found() -> None:
    rng = np.random.default_rng(1)
    assert all(sign_flips(rng.normal(1.0, 0.7, 16), rng=rng, resamples=999).p_greater <= 0.05 for _ in range(50))


def test_two_sequences_and_zeros() -> None:
    rng = np.random.default_rng(0)
    assert sign_flips([1.0, 2.0], rng=rng).p_greater == 1 / 4
    assert sign_flips([1.0, -2.0], rng=rng).p_greater == 3 / 4
    assert sign_flips([0.0, 0.0], rng=rng).p_greater == 1.0
    assert sign_flips([0.1, 0.2, -0.3], rng=rng).p_greater == 5 / 8  # a sum of 0 and its mirror: ties but for rounding


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], r"sign flips need one value for each of at least 2 sequences, not shape \(1,\)"),
        ([[1.0, 2.0]], r"sign flips need one value for each of at least 2 sequences, not shape \(1, 2\)"),
        ([1.0, np.nan], r"sign flips need finite values for every sequence"),
    ],
)
def test_what_cannot_be_flipped_is_refused(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sign_flips(values, rng=np.random.default_rng(0))


# --- bootstrap -----------------------------------------------------------------------------------


def ratio(sums: Floats, counts: Floats, axis: int = -1) -> Floats:
    return np.asarray(sums.sum(axis=axis) / counts.sum(axis=axis))


@pytest.mark.parametrize("method", ["BCa", "percentile"])
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("sequences", [8, 30])
def test_interval_is_scipys(method: str, spread: bool, sequences: int) -> None:
    # A mean per token is all but unbiased; a variance is biased and skew, so that both corrections of BCa count.
    rng = np.random.default_rng(sequences)
    counts = rng.integers(5, 60, sequences).astype(float)
    x = rng.gamma(1.5, size=sequences)
    sums = np.column_stack([counts * x, counts * x**2])
    levels = (0.95, 0.90)
    # Ours are expanded for few sequences; these are the levels whose expanded quantiles are scipy's.
    reach = norm.ppf(0.5 + np.asarray(levels) / 2) * ((sequences - 1) / sequences) ** 0.5
    asked = tuple(2 * t.cdf(reach, sequences - 1) - 1)

    def ours_of(means: Floats) -> Floats:
        return means[:, 1] - means[:, 0] ** 2 if spread else means[:, 0]

    def theirs_of(first: Floats, second: Floats, n: Floats, axis: int = -1) -> Floats:
        return ratio(second, n, axis) - ratio(first, n, axis) ** 2 if spread else ratio(first, n, axis)

    ours = cluster_bootstrap(
        sums, counts, ours_of, rng=np.random.default_rng(1), levels=asked, resamples=40_000, method=method
    )
    for interval, level, ours_level in zip(ours, levels, asked, strict=True):
        theirs = bootstrap(
            (sums[:, 0], sums[:, 1], counts),
            theirs_of,
            paired=True,
            vectorized=True,
            n_resamples=40_000,
            batch=5_000,
            method=method,
            confidence_level=level,
            **{RNG: np.random.default_rng(2)},
        ).confidence_interval
        # A 2.5 % quantile of 40,000 normal draws has an error of 0.35 % of the interval's width, two of them 0.5 %.
        width = theirs.high - theirs.low
        assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.025 * width)
        assert interval.level == ours_level
        assert interval.method == f"{method} bootstrap over sequences"


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(2, 12), st.integers(2, 5), st.sampled_from(["BCa", "percentile"]))
def test_tokens_told_twice_change_no_interval(seed: int, sequences: int, times: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 50, sequences)
    sums = rng.standard_normal((sequences, 2)) * counts[:, None]

    def product(means: Floats) -> Floats:
        return means[:, 0] * means[:, 1]

    for plain, told in zip(
        *(
            cluster_bootstrap(
                n * sums, n * counts, product, rng=np.random.default_rng(seed), resamples=199, method=method
            )
            for n in (1, times)
        ),
        strict=True,
    ):
        assert (told.low, told.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_sequences_told_twice_narrow_it_by_root_two_and_not_silently() -> None:
    # Whoever counts sequences twice gets a narrower interval; nothing here does so on its own.
    values = np.random.default_rng(3).standard_normal(40)
    once, twice = mean_interval(values)[0], mean_interval(np.repeat(values, 2))[0]
    assert (once.high - once.low) / (twice.high - twice.low) == pytest.approx(np.sqrt(2), rel=0.04)
    again = mean_interval(values)[0]
    assert once == again


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_monotone_transforms_carry_through(method: str) -> None:
    values = np.random.default_rng(4).gamma(2.0, size=25)
    plain = mean_interval(values, method=method)
    logs = cluster_bootstrap(
        values[:, None], np.ones(25), lambda m: np.log(m[:, 0]), rng=np.random.default_rng(0), method=method
    )
    if method == "percentile":
        assert np.exp(logs[0].low) == pytest.approx(plain[0].low, rel=1e-4)
    # BCa takes its acceleration from the jackknife, which a transform changes in third order only.
    assert (np.exp(logs[0].low), np.exp(logs[0].high)) == pytest.approx((plain[0].low, plain[0].high), rel=0.01)


def test_interval_covers_the_truth_at_its_level() -> None:
    rng = np.random.default_rng(5)
    covered = np.zeros(2, int)
    for seed in range(400):
        counts = rng.integers(20, 40, 50)
        topic = rng.standard_normal(50)  # tokens of a sequence share it: not independent
        sums = counts * topic + np.sqrt(counts) * rng.standard_normal(50)
        wide, narrow = cluster_bootstrap(sums[:, None], counts, first, rng=np.random.default_rng(seed), resamples=499)
        covered += [wide.low <= 0 <= wide.high, narrow.low <= 0 <= narrow.high]
        assert wide.low <= narrow.low <= narrow.high <= wide.high
    assert binomtest(int(covered[0]), 400, 0.95).pvalue > 0.001
    assert binomtest(int(covered[1]), 400, 0.90).pvalue > 0.001


def test_two_sequences_span_the_interval_and_no_more() -> None:
    # Coverage is then one half, whatever the level says.
    for interval in mean_interval(np.array([0.1, 0.4])):
        assert (interval.low, interval.high) == (0.1, 0.4)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 1e9])
def test_sequences_that_are_all_alike_leave_a_point(method: str, value: float) -> None:
    counts = np.arange(1, 8)
    intervals = cluster_bootstrap(
        (value * counts)[:, None], counts, first, rng=np.random.default_rng(0), resamples=199, method=method
    )
    for interval in intervals:
        assert interval.low == interval.high == pytest.approx(value)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_a_rank_correlation_at_its_border_leaves_a_point(method: str) -> None:
    falling = -np.arange(6.0) + 0.1 * np.random.default_rng(6).random((10, 6))
    for interval in cluster_bootstrap(
        falling, np.ones(10), kendall_tau, rng=np.random.default_rng(0), resamples=199, method=method
    ):
        assert (interval.low, interval.high) == (-1.0, -1.0)


def test_draws_beyond_one_chunk_are_all_made() -> None:
    seen = []

    def counting(means: Floats) -> Floats:
        seen.append(len(means))
        return means[:, 0]

    cluster_bootstrap(np.arange(5.0)[:, None], np.ones(5), counting, rng=np.random.default_rng(0), resamples=4_500)
    assert seen == [2_000, 2_000, 500, 1, 5]


def test_many_sums_are_resampled_a_few_at_a_time_and_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(8).gamma(2.0, size=12)
    whole = mean_interval(values, resamples=500)
    monkeypatch.setattr(module, "_FLOATS", 7)
    assert mean_interval(values, resamples=500) == whole


@pytest.mark.parametrize(
    ("sums", "counts", "message"),
    [
        (np.zeros(3), np.ones(3), r"sums \(3,\) and counts \(3,\) must be \(S, K\) and \(S,\) with S of 2 or more"),
        (np.zeros((3, 1)), np.ones(2), r"sums \(3, 1\) and counts \(2,\) must be"),
        (np.zeros((1, 1)), np.ones(1), r"with S of 2 or more"),
        (np.zeros((2, 1)), np.array([3, 0]), r"every sequence needs finite sums and at least one token"),
        (np.array([[np.nan], [1.0]]), np.ones(2), r"every sequence needs finite sums and at least one token"),
    ],
)
def test_what_cannot_be_resampled_is_refused(sums: Floats, counts: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_bootstrap(sums, counts, first, rng=np.random.default_rng(0))


def test_an_unknown_method_or_a_statistic_without_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bootstrap method 'basic' is neither BCa nor percentile"):
        mean_interval(np.arange(3.0), method="basic")
    with pytest.raises(ValueError, match=r"the statistic is not finite on every resample of the sequences"):
        cluster_bootstrap(np.zeros((3, 1)), np.ones(3), lambda m: np.full(len(m), np.nan), rng=np.random.default_rng(0))


@pytest.mark.parametrize("sequences", [5, 10, 26])
def test_interval_of_a_mean_covers_95_percent_even_with_few_sequences(sequences: int) -> None:
    rng = np.random.default_rng(sequences)
    covered, trials = 0, 600
    for _ in range(trials):
        x = rng.standard_normal(sequences)
        interval, _ = cluster_bootstrap(
            x[:, None], np.ones(sequences), lambda means: means[:, 0], rng=rng, resamples=999
        )
        covered += interval.low <= 0 <= interval.high
    # Unexpanded it is 83 % for 5 sequences and 91 % for 10.
    assert binomtest(covered, trials, 0.93, alternative="less").pvalue > 0.01


# --- jackknife -----------------------------------------------------------------------------------

# Average LSAT and GPA of 15 law schools, Efron and Tibshirani 1993, Table 3.1.
LSAT = np.array([576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594.0])
GPA = np.array([3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96])


def correlation(means: Floats) -> Floats:
    x, y, xx, yy, xy = means.T
    return np.asarray((xy - x * y) / np.sqrt((xx - x**2) * (yy - y**2)))


def test_law_schools() -> None:
    # Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, sections 2.1 and 3.1: correlation 0.776,
    # jackknife bias −0.0065, jackknife standard error 0.142.
    x, y = LSAT - LSAT.mean(), GPA - GPA.mean()
    result = jackknife_over_sequences(np.column_stack([x, y, x**2, y**2, x * y]), np.ones(15), correlation)
    assert result.plain == pytest.approx(0.776, abs=0.0005)
    assert result.plain - result.estimate == pytest.approx(-0.0065, abs=0.00005)
    assert result.standard_error == pytest.approx(0.1425, abs=0.00005)


@given(SEEDS, st.integers(3, 30), st.floats(-2, 2))
def test_the_null_of_the_jackknife_lies_around_the_bound(seed: int, sequences: int, bound: float) -> None:
    values = np.random.default_rng(seed).standard_normal(sequences)
    result = jackknife_over_sequences(50 * values[:, None], np.full(sequences, 50), first, bound=bound)
    null = result.null_distribution()
    expected = bound + result.standard_error * t.ppf(null.levels, sequences - 1)
    assert null.quantiles == pytest.approx(tuple(expected), abs=1e-9)
    assert (null.observed, null.tail, null.draws) == (result.estimate, "upper", None)


@given(SEEDS, st.integers(3, 30), st.floats(-2, 2))
def test_jackknife_of_a_mean_is_students_t(seed: int, sequences: int, bound: float) -> None:
    values = np.random.default_rng(seed).standard_normal(sequences)
    ours = jackknife_over_sequences(50 * values[:, None], np.full(sequences, 50), first, bound=bound)
    theirs = ttest_1samp(values, bound, alternative="greater")
    assert ours.estimate == pytest.approx(values.mean()) == ours.plain
    assert ours.p_greater == pytest.approx(theirs.pvalue, abs=1e-9)
    assert ours.p_less == pytest.approx(1 - theirs.pvalue, abs=1e-9)
    assert ours.degrees == pytest.approx(sequences - 1)
    for level in (0.95, 0.90):
        interval = ours.interval(level)
        expected = ttest_1samp(values, bound).confidence_interval(level)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert (interval.level, interval.method) == (level, "jackknife over sequences")


@given(SEEDS, st.integers(3, 20))
def test_the_bias_of_a_variance_goes_away_entirely(seed: int, sequences: int) -> None:
    x = np.random.default_rng(seed).gamma(2.0, size=sequences)
    result = jackknife_over_sequences(np.column_stack([x, x**2]), np.ones(sequences), lambda m: m[:, 1] - m[:, 0] ** 2)
    assert result.plain == pytest.approx(np.var(x))
    assert result.estimate == pytest.approx(np.var(x, ddof=1))


@given(SEEDS, st.integers(2, 6))
def test_jackknife_of_tokens_told_twice_and_in_other_units(seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 99, 9)
    sums = rng.standard_normal((9, 1)) * counts[:, None]
    plain = jackknife_over_sequences(sums, counts, first, bound=0.2)
    told = jackknife_over_sequences(times * sums, times * counts, first, bound=0.2)
    scaled = jackknife_over_sequences(1e3 * sums, counts, first, bound=200.0)
    for other, unit in ((told, 1.0), (scaled, 1e3)):
        assert (other.estimate, other.standard_error) == pytest.approx(
            (unit * plain.estimate, unit * plain.standard_error)
        )
        assert (other.p_greater, other.p_less) == pytest.approx((plain.p_greater, plain.p_less), abs=1e-9)


def test_sequences_of_unequal_length_are_worth_fewer() -> None:
    rng = np.random.default_rng(1)
    counts = np.array([300, 100, 100, 100])
    result = jackknife_over_sequences(rng.standard_normal((4, 1)) * counts[:, None], counts, first)
    assert result.degrees == pytest.approx(600**2 / (300**2 + 3 * 100**2) - 1)
    lopsided = np.array([10_000, 1, 1])
    assert jackknife_over_sequences(rng.standard_normal((3, 1)) * lopsided[:, None], lopsided, first).degrees == 1.0


def entropy(means: Floats) -> Floats:
    """Mean over 16 layers of the normalised entropy over 8 experts."""
    share = means.reshape(-1, 16, 8) / means.reshape(-1, 16, 8).sum(axis=-1, keepdims=True)
    return np.asarray(-(share * np.log(np.maximum(share, 1e-300))).sum(axis=-1).mean(axis=-1) / np.log(8))


LOADS = np.array([0.06, 0.07, 0.08, 0.09, 0.12, 0.15, 0.18, 0.25])
TRUTH = float(entropy(np.tile(LOADS, 16)[None])[0])
"""About 0.95."""


@pytest.mark.parametrize("sequences", [10, 26])
def test_level_of_an_entropy_is_held_where_the_plain_one_is_far_too_low(sequences: int) -> None:
    # Every sequence has topics of its own, in each layer: loads that differ from the true ones by a third and more.
    rng = np.random.default_rng(sequences)
    found = []
    for _ in range(300):
        sizes = rng.integers(48, 97, sequences)
        topics = rng.dirichlet(8 * LOADS, size=(sequences, 16))
        counts = rng.multinomial(np.broadcast_to(2 * sizes[:, None], (sequences, 16)), topics)
        found.append(jackknife_over_sequences(counts.reshape(sequences, -1), sizes, entropy, bound=TRUTH))
    for ps in ([f.p_greater for f in found], [f.p_less for f in found]):
        assert binomtest(int(np.sum(np.array(ps) <= 0.05)), 300, 0.05, alternative="greater").pvalue > 0.001
    assert binomtest(sum(f.interval().low <= TRUTH <= f.interval().high for f in found), 300, 0.95).pvalue > 0.001
    assert sum(f.plain + f.standard_error < TRUTH for f in found) > 200


def test_what_lies_clearly_on_one_side_is_found() -> None:
    rng = np.random.default_rng(3)
    shares = rng.beta(97, 3, size=(40, 26))  # 97 % on average
    found = [jackknife_over_sequences(96 * s[:, None], np.full(26, 96), first, bound=0.95) for s in shares]
    assert all(f.p_greater <= 0.01 and f.interval().low > 0.95 for f in found)


@pytest.mark.parametrize(("bound", "p"), [(0.5, 0.0), (0.7, 0.5), (0.9, 1.0)])
def test_sequences_that_are_all_alike_leave_no_doubt_but_on_the_bound(bound: float, p: float) -> None:
    counts = np.arange(3, 20)
    result = jackknife_over_sequences(0.7 * counts[:, None], counts, first, bound=bound)
    assert (result.p_greater, result.p_less) == (p, 1 - p)
    assert result.interval().low == result.interval().high == pytest.approx(0.7)


def test_interval_ends_at_what_the_statistic_can_be() -> None:
    values = np.array([1.0, 1.0, 0.9, 1.0, 0.99])
    result = jackknife_over_sequences(values[:, None], np.ones(5), first)
    assert result.interval().high > 1.0
    assert result.interval(0.95, ceiling=1.0).high == 1.0
    assert result.interval(0.95, ceiling=1.0).low == result.interval().low


def test_what_cannot_be_jackknifed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"with S of 2 or more"):
        jackknife_over_sequences(np.zeros((1, 1)), np.ones(1), first)
    with pytest.raises(ValueError, match=r"not finite with every sequence left out in turn"):
        jackknife_over_sequences(np.zeros((3, 1)), np.ones(3), lambda m: np.full(len(m), np.nan))
