"""Claims on trainings: made-up results for every verdict, nulls that must not replicate, and outside numbers."""

import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from moe_claims.errors import NotComparableError, NotMeasuredError, UsageError
from moe_claims.packs.look_into_moes.audits.parameters_and_table_6 import decline_with_depth
from moe_claims.packs.look_into_moes.pack import PACK, TRAINED
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.packs.look_into_moes.trained.dense_layer_position import needs_experts, printed_position
from moe_claims.packs.look_into_moes.trained.judging import EXPERIMENTS, judged_documents, judged_trainings
from moe_claims.packs.look_into_moes.trained.training_scheme import stay_alike
from moe_claims.stats.corrections import holm
from moe_claims.types import Result, Verdict

Document = dict[str, Any]
Positions = Callable[..., Document]
Noise = Callable[..., np.ndarray]
SD = 0.004
"""Of the loss of one training, in nats per token."""
DEPTH, SCHEME = "depth-needs-experts", "training-scheme"
ABSENT = UsageError("not made")


def gaussian(seed: int, sd: float = SD) -> Noise:
    rng = np.random.default_rng(seed)
    return lambda size: rng.normal(scale=sd, size=size)


def heavy(seed: int, sd: float = SD) -> Noise:
    """Student's t with 3 degrees of freedom, of the same standard deviation."""
    rng = np.random.default_rng(seed)
    return lambda size: sd * rng.standard_t(3, size=size) / 3**0.5


def sloping(seed: int) -> Noise:
    """Every seed has a slope of its own, alike in all its models; on average there is none."""
    rng = np.random.default_rng(seed)

    def noise(size: int) -> np.ndarray:
        places = np.array([0, *(0, 2, 4, 6, 7) * 2]) if size > 1 else np.zeros(1)
        return rng.normal(scale=SD, size=size) + rng.normal(scale=0.01) * places

    return noise


def planted(place: int) -> float:
    """Rises by 0.03 to layer 6; the last lies 0.03 below where the line would have it."""
    return 0.01 + 0.005 * place - (0.03 if place == 7 else 0.0)


def flat(place: int) -> float:
    return 0.02


def depth_rows(document: Document) -> dict[str, Result]:
    """Rows of the one claim, as a family of its own."""
    found = judged_documents(PACK, {"dense-layer-position": document, "training-scheme": ABSENT}, 0.05)
    return {str(row.variant): row for row in found.results if row.claim == DEPTH}


def scheme_rows(document: Document) -> dict[str, Result]:
    found = judged_documents(PACK, {"dense-layer-position": ABSENT, "training-scheme": document}, 0.05)
    return {str(row.variant): row for row in found.results if row.claim == SCHEME}


def row_of(folder: Path, claim: str, variant: str) -> Result:
    """One row of the trainings in a folder."""
    found = judged_trainings(PACK, 0.05, folder).find(claim, variant, None, None)
    assert isinstance(found, Result), found
    return found


@pytest.fixture
def folder(tmp_path: Path, made_up_positions: Positions, made_up_schemes: Positions) -> Path:
    for document in (made_up_positions(planted, gaussian(0)), made_up_schemes(0.6, gaussian(1, 0.02))):
        (tmp_path / f"{document['experiment']}.json").write_text(json.dumps(document))
    return tmp_path


# --- calibration -----------------------------------------------------------------------------------

SIMULATED = 200


def replicated(rows: Sequence[dict[str, Result]]) -> dict[str, int]:
    return {variant: sum(found[variant].verdict is Verdict.REPLICATED for found in rows) for variant in rows[0]}


def test_what_was_planted_is_found(made_up_positions: Positions) -> None:
    found = [depth_rows(made_up_positions(planted, gaussian(seed))) for seed in range(SIMULATED)]
    assert min(replicated(found).values()) >= 0.95 * SIMULATED


NULLS: dict[str, tuple[Callable[[int], float], Callable[[int], Noise], tuple[str, ...]]] = {
    "nothing": (flat, gaussian, ("slope", "last")),
    "heavy tails": (flat, heavy, ("slope", "last")),
    "large noise": (flat, lambda seed: gaussian(seed, 0.05), ("slope", "last")),
    "seeds with slopes of their own": (flat, sloping, ("slope", "last")),
    # Costs at both ends: no rise, and the last lies above the line.
    "u-shaped": (lambda place: 0.003 * (place - 3) ** 2, gaussian, ("slope", "last")),
    "falling": (lambda place: -0.005 * place, gaussian, ("slope", "last")),
    # The last place alone is cheap: that much is true, but nothing rises.
    "last alone": (lambda place: -0.03 if place == 7 else 0.0, gaussian, ("slope",)),
    # A rise that goes on to the end: nothing is to be said of the last place.
    "rise to the end": (lambda place: 0.005 * place, gaussian, ("last",)),
}


@pytest.mark.parametrize("null", NULLS)
def test_what_is_false_is_not_replicated(null: str, made_up_positions: Positions) -> None:
    curve, noise, false = NULLS[null]
    rows = [depth_rows(made_up_positions(curve, noise(1_000 + seed))) for seed in range(SIMULATED)]
    counts = replicated(rows)
    for what, matched in product(false, ("total", "activated")):
        fired = counts[f"{what}-{matched}"]
        assert binomtest(fired, SIMULATED, 0.05, alternative="greater").pvalue > 0.01, (what, matched, fired)


def test_the_level_of_the_test_is_exact_before_correction(made_up_positions: Positions) -> None:
    rows = [depth_rows(made_up_positions(flat, gaussian(seed, 0.05))) for seed in range(400)]
    for variant in ("slope-total", "last-total"):
        for values in ([row[variant].p_value for row in rows], [row[variant].details["p_opposite"] for row in rows]):
            assert binomtest(sum(float(p or 0) <= 0.05 for p in values), len(rows), 0.05).pvalue > 0.001


@pytest.mark.parametrize(("apart", "true"), [(0.6, True), (0.0, False)])
def test_schemes_that_differ_are_told_from_those_that_do_not(
    apart: float, true: bool, made_up_schemes: Positions
) -> None:
    for noise in (gaussian, heavy):
        # Seeds that differ by 0.05 leave it open whether experts from scratch are unlike, which the claim says too.
        sd = 0.01 if true else 0.05
        counts = replicated([scheme_rows(made_up_schemes(apart, noise(seed, sd))) for seed in range(SIMULATED)])
        for fired in counts.values():
            if true:
                assert fired >= 0.95 * SIMULATED
            else:
                assert binomtest(fired, SIMULATED, 0.05, alternative="greater").pvalue > 0.01


def test_experts_from_scratch_that_are_alike_too_do_not_replicate(made_up_schemes: Positions) -> None:
    rows = [scheme_rows(made_up_schemes(0.6, gaussian(seed, 0.01), scratch=0.2)) for seed in range(20)]
    assert {row.verdict for found in rows for row in found.values()} == {Verdict.DIRECTION_ONLY}
    assert "experts from scratch are not shown to be unlike: 0.2" in rows[0]["similarity"].reason


# --- verdicts --------------------------------------------------------------------------------------


def test_small_effects_are_of_the_right_direction_only(made_up_positions: Positions) -> None:
    def small(place: int) -> float:
        return planted(place) / 6

    rows = depth_rows(made_up_positions(small, gaussian(0, 0.0002)))
    assert {row.verdict for row in rows.values()} == {Verdict.DIRECTION_ONLY}
    assert "below the smallest of interest (-0.01)" in rows["last-total"].reason


def test_the_opposite_is_a_contradiction_and_nothing_is_absent(made_up_positions: Positions) -> None:
    opposite = depth_rows(made_up_positions(lambda place: -planted(place), gaussian(0)))
    assert {row.verdict for row in opposite.values()} == {Verdict.CONTRADICTED}
    assert {row.verdict for row in depth_rows(made_up_positions(flat, gaussian(0, 0.001))).values()} == {Verdict.ABSENT}


def test_open_claims_ask_for_more_seeds_and_not_for_more_text(made_up_positions: Positions) -> None:
    row = depth_rows(made_up_positions(lambda place: 0.002 * place, gaussian(3, 0.02), kinds=("total",)))["slope-total"]
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "more seeds like these would settle it" in row.reason


def test_too_few_seeds_leave_it_open_with_the_reason(made_up_positions: Positions, made_up_schemes: Positions) -> None:
    said = "chance is judged over seeds, and 2 is too few: train at least 3 (--seeds)"
    with pytest.raises(NotMeasuredError) as caught:
        needs_experts("slope-total", made_up_positions(planted, gaussian(0), seeds=2))
    assert str(caught.value) == said
    rows = depth_rows(made_up_positions(planted, gaussian(0), seeds=2)) | scheme_rows(
        made_up_schemes(0.6, gaussian(0), seeds=2)
    )
    assert {(row.verdict, row.reason, row.p_value) for row in rows.values()} == {(Verdict.INCONCLUSIVE, said, None)}
    three = scheme_rows(made_up_schemes(0.6, gaussian(0), seeds=3))
    assert {row.verdict for row in three.values()} == {Verdict.REPLICATED}


def test_models_that_were_not_trained_are_not_applicable(made_up_positions: Positions) -> None:
    rows = depth_rows(made_up_positions(planted, gaussian(0), kinds=("total",)))
    assert {v: row.verdict for v, row in rows.items() if v.endswith("activated")} == {
        "slope-activated": Verdict.NOT_APPLICABLE,
        "last-activated": Verdict.NOT_APPLICABLE,
    }
    assert rows["last-activated"].reason == (
        "no model of the experiment has a dense layer of as many activated parameters"
    )
    assert rows["slope-total"].verdict is Verdict.REPLICATED
    assert rows["slope-total"].p_adjusted == pytest.approx(
        holm([row.p_value for row in rows.values() if row.p_value is not None])[0]
    )


@pytest.mark.parametrize(
    ("places", "variant", "message"),
    [
        ((0, 7), "slope-total", "dense layers in at least 2 places before the last; here are 1"),
        ((0, 7), "last-total", "dense layers in at least 2 places before the last; here are 1"),
        ((0, 2, 4), "last-total", r"has its dense layer in the last place \(7\)"),
    ],
)
def test_places_that_make_no_line_are_said(
    places: tuple[int, ...], variant: str, message: str, made_up_positions: Positions
) -> None:
    with pytest.raises(NotComparableError, match=message):
        needs_experts(variant, made_up_positions(planted, gaussian(0), places=places))


# --- outside numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("matched", ["total", "activated"])
def test_the_line_is_numpys_and_the_test_scipys(matched: str, made_up_positions: Positions) -> None:
    document = made_up_positions(planted, gaussian(5))
    rises, residuals = [], []
    for seed in range(5):
        loss = {run["position"]: run["held_out_nats"] for run in document["runs"]
                if run["seed"] == seed and run["matched"] in (matched, None)}  # fmt: skip
        slope, height = np.polyfit([0, 2, 4, 6], [loss[p] - loss[None] for p in (0, 2, 4, 6)], 1)
        rises.append(6 * slope)  # from layer 0 to layer 6 of 8
        residuals.append(loss[7] - loss[None] - height - 7 * slope)
    for variant, values, side in (("slope", rises, "greater"), ("last", residuals, "less")):
        found, theirs = needs_experts(f"{variant}-{matched}", document), ttest_1samp(values, 0.0, alternative=side)
        both = ttest_1samp(values, 0.0)
        assert found.effect == pytest.approx(np.mean(values))
        assert found.p_value == pytest.approx(theirs.pvalue)
        assert found.p_opposite == pytest.approx(1 - theirs.pvalue)
        for interval, level in ((found.interval, 0.95), (found.equivalence, 0.90)):
            expected = both.confidence_interval(level)
            assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
        # Signs of seeds flipped, counted by hand.
        sums = np.array(list(product((1, -1), repeat=5))) @ np.array(values)
        beyond = sums >= sums[0] - 1e-12 if side == "greater" else sums <= sums[0] + 1e-12
        assert found.details["p_sign_flips"] == pytest.approx(np.mean(beyond))


def test_schemes_are_compared_within_the_seed_at_the_last_point(made_up_schemes: Positions) -> None:
    document = made_up_schemes(0.6, gaussian(6, 0.05))
    for variant in ("similarity", "order"):
        by_seed = [
            np.mean([seed["upcycled"]["points"][-1][variant][kind] for kind in ("up", "act", "down")])
            - np.mean([seed["scratch"]["points"][-1][variant][kind] for kind in ("up", "act", "down")])
            for seed in document["seeds"]
        ]
        found = stay_alike(variant, document)
        assert found.effect == pytest.approx(np.mean(by_seed))
        assert found.p_value == pytest.approx(ttest_1samp(by_seed, 0.0, alternative="greater").pvalue)
        up = np.mean([seed["upcycled"]["points"][-1][variant]["up"] for seed in document["seeds"]])
        start = [np.mean(list(seed["upcycled"]["points"][0][variant].values())) for seed in document["seeds"]]
        end = [np.mean(list(seed["upcycled"]["points"][-1][variant].values())) for seed in document["seeds"]]
        assert found.details["upcycled up"] == pytest.approx(up)
        assert found.details["upcycled step 0"] == pytest.approx(np.mean(start))
        assert found.details["upcycled left of the start"] == pytest.approx(np.mean(end) / np.mean(start))
        pair = [np.mean(list(document["zoo"][s]["points"][-1][variant].values())) for s in ("upcycled", "scratch")]
        assert found.details["embedded pair upcycled − scratch"] == pytest.approx(pair[0] - pair[1])
        assert found.details["embedded tiny-upcycled step 1000"] == pytest.approx(pair[0])
        said = found.details["embedded pair differs too in"]
        assert said == "peak learning rate (0.001 against 0.004) and seed (1 against 0)"


def test_without_the_embedded_pair_nothing_is_said_of_it(made_up_schemes: Positions) -> None:
    found = stay_alike("order", made_up_schemes(0.6, gaussian(6), zoo=False))
    assert not any(name.startswith("embedded") for name in found.details)
    document = made_up_schemes(0.6, gaussian(6))
    del document["zoo"]
    assert stay_alike("order", document).details == found.details


# --- properties ------------------------------------------------------------------------------------


@given(
    noise=st.integers(0, 2**32 - 1),
    offsets=st.lists(st.floats(-1, 1), min_size=5, max_size=5),
    order=st.permutations(range(5)),
    variant=st.sampled_from(TRAINED[DEPTH].variants),
)
def test_what_a_seed_has_in_common_and_the_order_of_seeds_change_nothing(
    made_up_positions: Positions, noise: int, offsets: list[float], order: list[int], variant: str
) -> None:
    document = made_up_positions(planted, gaussian(noise))
    other = deepcopy(document)
    for run in other["runs"]:
        run["held_out_nats"] += offsets[run["seed"]]
        run["seed"] = order[run["seed"]]
    one, two = needs_experts(variant, document), needs_experts(variant, other)
    assert one.effect == pytest.approx(two.effect, abs=1e-9)
    assert one.p_value == pytest.approx(two.p_value, rel=1e-5)
    assert one.details["p_sign_flips"] == two.details["p_sign_flips"]


@given(noise=st.integers(0, 2**32 - 1), order=st.permutations(range(5)))
def test_the_order_of_seeds_changes_nothing_between_schemes(
    made_up_schemes: Positions, noise: int, order: list[int]
) -> None:
    document = made_up_schemes(0.4, gaussian(noise, 0.05))
    other = document | {"seeds": [document["seeds"][i] for i in order]}
    for variant in ("similarity", "order"):
        one, two = stay_alike(variant, document), stay_alike(variant, other)
        assert (one.effect, one.p_value) == pytest.approx((two.effect, two.p_value))


# --- rows ------------------------------------------------------------------------------------------


def test_every_claim_and_variant_has_its_row(folder: Path) -> None:
    judged = judged_trainings(PACK, folder=folder)
    rows = list(judged.results)
    assert judged.broken == ()
    assert [(row.claim, row.variant) for row in rows] == [(c.id, v) for c in TRAINED.values() for v in c.variants]
    assert {(row.evidence, row.family, row.unit, row.n_units) for row in rows} == {("trained", "trained", "seed", 5)}
    assert {(row.claim, row.model, row.corpus) for row in rows} == {
        (DEPTH, "8-layer qwen2_moe MoEs of 16 experts", "a-text.gz"),
        (SCHEME, "8-layer mixtral MoEs of 8 experts", "a-text.gz"),
    }
    assert [row.smallest for row in rows] == [0.01, -0.01, 0.01, -0.01, 0.2, 0.375]
    assert len({row.effect_name for row in rows}) == 4
    assert [row.p_adjusted for row in rows] == pytest.approx(list(holm([row.p_value for row in rows])))
    assert all(type(value) in (float, int, str) for row in rows for value in row.details.values())
    assert [row_of(folder, row.claim, str(row.variant)) for row in rows] == rows


def test_a_file_that_cannot_be_used_loses_none_of_the_other_rows(folder: Path) -> None:
    whole = row_of(folder, DEPTH, "slope-total")
    (folder / "training-scheme.json").unlink()
    found = row_of(folder, DEPTH, "slope-total")
    assert (found.verdict, found.p_value) == (whole.verdict, whole.p_value)
    assert found.p_adjusted is not None
    assert whole.p_adjusted is not None
    assert found.p_adjusted <= whole.p_adjusted  # a family of four and not of six
    judged = judged_trainings(PACK, folder=folder)
    assert [row.claim for row in judged.results] == [DEPTH] * 4
    assert [one.key for one in judged.broken] == [f"{SCHEME}[similarity]", f"{SCHEME}[order]"]
    message = judged.find(SCHEME, "order", None, None)
    assert {message} == {one.message for one in judged.broken}
    assert re.match(r"there is no file '.*training-scheme\.json' with results of trainings", str(message))


def test_every_claim_has_an_experiment() -> None:
    assert set(EXPERIMENTS) == set(TRAINED)
    found = judged_documents(PACK, dict.fromkeys(EXPERIMENTS.values(), ABSENT), 0.05)
    assert found.results == ()
    assert [(one.claim, one.variant) for one in found.broken] == [
        (claim.id, variant) for claim in TRAINED.values() for variant in claim.variants
    ]
    assert {one.message for one in found.broken} == {"not made"}


# --- what the paper prints -------------------------------------------------------------------------


def test_the_papers_own_line_is_numpys() -> None:
    # Table 6, typed from the paper: dense layer in place 1, 6, 12, 18 and 24 of 24.
    nats = np.log([8.50, 8.49, 8.51, 8.59, 8.58])
    slope, height = np.polyfit([1, 6, 12, 18], nats[:4], 1)
    rise, last = printed_position("slope-activated").published, printed_position("last-total").published
    assert rise["value"] == pytest.approx(22 * slope)  # from layer 1 to layer 23
    assert rise["value"] == pytest.approx(0.0134, abs=5e-5)
    assert last["value"] == pytest.approx(nats[4] - height - 24 * slope)
    _, covariance = np.polyfit([1, 6, 12, 18], nats[:4], 1, cov=True)
    assert rise["standard_error"] == pytest.approx(22 * covariance[0, 0] ** 0.5)
    new = np.array([24.0, 1.0])
    scatter = np.sum((nats[:4] - height - slope * np.array([1, 6, 12, 18])) ** 2) / 2
    assert last["standard_error"] == pytest.approx((scatter + new @ covariance @ new) ** 0.5)
    assert rise["place"] == "Table 6"
    assert "p = 0.167 by the order of rows, where 0.042 is the least" in rise["note"]
    averages = [39.42, 38.55, 38.21, 37.99]
    beside = printed_position("slope-total").details
    assert beside["paper_bench_average_rise"] == pytest.approx(22 * np.polyfit([1, 6, 12, 18], averages, 1)[0])
    audit = decline_with_depth().values
    assert beside["paper_p_by_order_bench_average"] == audit["p_average"] == pytest.approx(1 / 24)
    assert beside["paper_p_by_order_perplexity"] == pytest.approx(4 / 24)  # at most one pair out of order


def test_the_smallest_effect_is_about_what_the_paper_has() -> None:
    rows = published()["table6_non_moe_layer"]["rows"]
    assert TRAINED[DEPTH].smallest == pytest.approx(np.log(rows["18"][0] / rows["1"][0]), abs=0.001)


def test_the_papers_models_of_either_scheme_are_compared_without_criteria(folder: Path) -> None:
    similarity, order = (row_of(folder, SCHEME, variant) for variant in ("similarity", "order"))
    assert similarity.published is not None
    assert order.published is not None
    assert similarity.published["value"] == pytest.approx(0.3)
    assert order.published["value"] == pytest.approx(0.75 + 0.00025)  # less the mean of −0.0002 and −0.0003
    assert order.published["standard_error"] is None
    assert order.criteria is not None
    assert "no error follows" in order.criteria["reason"]
    depth = row_of(folder, DEPTH, "slope-total")
    assert depth.criteria is not None
    assert depth.criteria["standard_error_origin"] == "from the paper's figures"
    assert "published_in_our_interval" in depth.criteria
