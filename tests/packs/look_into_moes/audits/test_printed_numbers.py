"""Every audit on the paper's numbers, and on altered numbers that must turn its outcome."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kendalltau, pearsonr, spearmanr

from moe_claims.packs.look_into_moes.audits import (
    AUDITS,
    figure10_effects,
    figure_10,
    parameters_and_table_6,
    rounding,
    run_audits,
    tables_3_and_5,
)
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.types import Audit, AuditOutcome

AGREES, DISAGREES, LACKS_POWER = AuditOutcome
FIGURE10 = "figure10_rank_counts_mixtral_8x7b_read_from_bars_approx"
Paper = dict[str, Any]


def altered(change: Callable[[Paper], None]) -> Paper:
    paper = dict(published())
    change(paper)
    return paper


def number(audit: Audit, name: str) -> float:
    value = audit.values[name]
    assert isinstance(value, int | float)
    return float(value)


# --- all of them ---------------------------------------------------------------------------------


def test_the_index_holds_every_audit_under_its_own_id() -> None:
    assert len(AUDITS) >= 11
    assert [audit.id for audit in run_audits()] == list(AUDITS)


def test_outcomes_on_the_published_numbers() -> None:
    assert {audit.id: audit.outcome for audit in run_audits()} == {
        "table3-against-table5": AGREES,
        "table5-precision": DISAGREES,
        "r2-null-expectation": DISAGREES,
        "r2-against-signed-mean": DISAGREES,
        "r2-range-of-mixtrals": DISAGREES,
        "grok-negative-after-25": DISAGREES,
        "activated-parameters": DISAGREES,
        "bench-averages": AGREES,
        "decline-with-depth": LACKS_POWER,
        "total-parameters": AGREES,
        "figure10-margins": AGREES,
        "figure10-effect-sizes": AGREES,
        "figure10-diagonal": LACKS_POWER,
    }


@pytest.mark.parametrize("audit", run_audits(), ids=list(AUDITS))
def test_every_audit_can_be_written_to_json_and_read_by_people(audit: Audit) -> None:
    for name, value in audit.values.items():
        assert type(value) in (float, int, str, bool), name
        assert not isinstance(value, float) or math.isfinite(value), name
    for text in (audit.statement, audit.source, audit.printed, audit.recomputed, audit.reason):
        assert text.strip()
    assert audit.reason.endswith(".")
    assert "\n" not in audit.reason


# --- Tables 3 and 5 ------------------------------------------------------------------------------


def test_table_3_is_the_mean_of_table_5_squared_for_all_four_models() -> None:
    audit = tables_3_and_5.table3_against_table5()
    assert audit.reason.startswith("4 of 4 models agree")
    for model, expected in {
        "mixtral-8x7b": 0.33,
        "mixtral-8x22b": 0.26,
        "deepseek-moe-16b": 0.40,
        "grok-1": 0.15,
    }.items():
        assert number(audit, f"{model} recomputed") == pytest.approx(expected, abs=0.005)


def test_table_3_disagrees_when_one_value_moves_by_more_than_rounding() -> None:
    def change(paper: Paper) -> None:
        paper["table3_r2_avg"]["grok-1"]["act"] += 0.02

    audit = tables_3_and_5.table3_against_table5(altered(change))
    assert audit.outcome is DISAGREES
    assert audit.reason.startswith("3 of 4")


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=60))
@settings(max_examples=50)
def test_rounding_alone_never_makes_table_3_disagree(true_r: list[float]) -> None:
    def change(paper: Paper) -> None:
        rounded = {str(layer): round(r, 2) for layer, r in enumerate(true_r)}
        paper["table5_r_gate_act_by_layer"] = {"grok-1": rounded}
        paper["table3_r2_avg"] = {"grok-1": {"act": round(float(np.mean(np.square(true_r))), 2)}}

    assert tables_3_and_5.table3_against_table5(altered(change)).outcome is AGREES


def test_null_expectation_of_r2_is_one_over_pairs_less_one() -> None:
    audit = tables_3_and_5.r2_null_expectation()
    assert number(audit, "grok-1 null_expectation") == pytest.approx(1 / 27)
    assert number(audit, "deepseek-moe-16b null_expectation") == pytest.approx(1 / (64 * 63 / 2 - 1))
    assert "Grok W_up" in audit.reason
    assert "Grok W_down" in audit.reason
    assert "W_act" not in audit.reason


def test_null_moments_are_those_of_the_beta_distribution() -> None:
    mean, spread = tables_3_and_5._null_r2(28)
    assert (mean, spread) == pytest.approx((beta(0.5, 13).mean(), beta(0.5, 13).std()))


def test_relabelled_experts_give_the_stated_expectations() -> None:
    # Independent check by simulation of both bounds: free patterns 1/27, one expert apart in both 1/7.
    rng = np.random.default_rng(0)
    rows, columns = np.triu_indices(8, 1)

    def mean_r2(pattern: Callable[[], np.ndarray[Any, Any]]) -> float:
        squares = []
        for _ in range(4000):
            one, other, labels = pattern(), pattern(), rng.permutation(8)
            squares.append(pearsonr(one[rows, columns], other[np.ix_(labels, labels)][rows, columns]).statistic ** 2)
        return float(np.mean(squares))

    def free() -> np.ndarray[Any, Any]:
        noise = rng.normal(size=(8, 8))
        return noise + noise.T

    def cross() -> np.ndarray[Any, Any]:
        apart = np.zeros((8, 8))
        apart[3, :] = apart[:, 3] = 1.0
        return apart

    audit = tables_3_and_5.r2_null_expectation()
    assert mean_r2(free) == pytest.approx(number(audit, "grok-1 null_expectation"), rel=0.1)
    assert mean_r2(cross) == pytest.approx(number(audit, "grok-1 null_expectation_at_most"), rel=0.1)


def test_null_expectation_agrees_when_every_value_is_far_above_it() -> None:
    def change(paper: Paper) -> None:
        for row in paper["table3_r2_avg"].values():
            row.update(up=0.2, down=0.2)

    assert tables_3_and_5.r2_null_expectation(altered(change)).outcome is AGREES


def test_signs_cancel_in_grok_alone() -> None:
    audit = tables_3_and_5.r2_against_signed_mean()
    assert number(audit, "grok-1 mean_r") == pytest.approx(0.0, abs=0.005)
    assert number(audit, "grok-1 share_of_r2_from_mean") < 0.01
    assert audit.reason.startswith("In Grok the signs cancel")
    assert number(audit, "mixtral-8x7b p_sign") < 1e-6 < number(audit, "grok-1 p_sign")


def test_signed_mean_agrees_without_the_signs_and_lacks_power_with_few_layers() -> None:
    def all_positive(paper: Paper) -> None:
        table = paper["table5_r_gate_act_by_layer"]
        table["grok-1"] = {layer: abs(r) for layer, r in table["grok-1"].items()}

    def three_layers(paper: Paper) -> None:
        paper["table5_r_gate_act_by_layer"]["grok-1"] = {"0": 0.3, "1": -0.2, "2": 0.1}

    assert tables_3_and_5.r2_against_signed_mean(altered(all_positive)).outcome is AGREES
    assert tables_3_and_5.r2_against_signed_mean(altered(three_layers)).outcome is LACKS_POWER


def test_range_of_mixtrals_is_wider_than_stated() -> None:
    audit = tables_3_and_5.r2_range_of_mixtrals()
    assert number(audit, "smallest") < 0.05
    assert number(audit, "layers") == 32 + 56
    assert number(audit, "layers_below") > 0


def test_range_of_mixtrals_agrees_when_no_layer_leaves_it() -> None:
    def change(paper: Paper) -> None:
        for model in ("mixtral-8x7b", "mixtral-8x22b"):
            column = paper["table5_r_gate_act_by_layer"][model]
            # √0.05 is the smallest r that '0.1', printed with one digit, leaves room for.
            column.update({layer: max(abs(r), 0.23) for layer, r in column.items()})

    assert tables_3_and_5.r2_range_of_mixtrals(altered(change)).outcome is AGREES


def test_grok_is_mostly_but_not_nearly_always_negative_after_25() -> None:
    audit = tables_3_and_5.grok_negative_after_25()
    assert (number(audit, "negative"), number(audit, "positive"), number(audit, "sign_lost_in_rounding")) == (25, 11, 2)
    assert 0.5 < number(audit, "share_low") < 25 / 36 < number(audit, "share_high") < 0.9


@pytest.mark.parametrize(("last", "outcome"), [(63, AGREES), (28, LACKS_POWER)])
def test_grok_agrees_when_all_later_layers_are_negative_and_they_are_enough(last: int, outcome: AuditOutcome) -> None:
    def change(paper: Paper) -> None:
        column = paper["table5_r_gate_act_by_layer"]["grok-1"]
        paper["table5_r_gate_act_by_layer"]["grok-1"] = {
            layer: -0.3 if int(layer) > 25 else r for layer, r in column.items() if int(layer) <= last
        }

    assert tables_3_and_5.grok_negative_after_25(altered(change)).outcome is outcome


def test_table_5_prints_roots_of_rounded_squares_for_mixtral_and_grok() -> None:
    audit = tables_3_and_5.table5_precision()
    assert number(audit, "grok-1 on_roots") == 50
    assert number(audit, "mixtral-8x7b p_value") == 0.5**12
    assert "Mixtral, Grok are roots" in audit.reason


def test_half_of_the_two_digit_numbers_below_a_half_are_such_roots() -> None:
    roots = {round(math.sqrt(square / 100), 2) for square in range(25)}
    assert len(roots) == 25  # of 0.00, 0.01, …, 0.49: what makes the audit a sign test


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_table_5_agrees_for_correlations_rounded_once(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def change(paper: Paper) -> None:
        for column in paper["table5_r_gate_act_by_layer"].values():
            column.update({layer: round(float(rng.uniform(-0.5, 0.5)), 2) for layer in column})

    assert tables_3_and_5.table5_precision(altered(change)).outcome is AGREES


def test_table_5_lacks_power_without_small_values() -> None:
    def change(paper: Paper) -> None:
        for column in paper["table5_r_gate_act_by_layer"].values():
            column.update(dict.fromkeys(column, 0.7))

    assert tables_3_and_5.table5_precision(altered(change)).outcome is LACKS_POWER


# --- Tables 4, 6 and 7 ---------------------------------------------------------------------------


def test_activated_parameters_of_deepseek_are_about_2_8_billion() -> None:
    audit = parameters_and_table_6.activated_parameters()
    assert number(audit, "deepseek-moe-16b with_embeddings_b") == pytest.approx(2.8, abs=0.05)
    assert number(audit, "mixtral-8x7b with_embeddings_b") == pytest.approx(12.9, abs=0.05)
    assert "DeepSeek has 9.43 times" in audit.reason
    assert "Grok has 1.07 times the printed value, which is its total times top-k / E" in audit.reason
    assert "Mixtral" not in audit.reason


def test_counting_by_hand_gives_the_same_deepseek() -> None:
    attention = 4 * 2048 * 2048
    moe = attention + 3 * 2048 * 1408 * (6 + 2) + 2048 * 64
    dense = attention + 3 * 2048 * 10_944
    bare = 27 * moe + dense
    audit = parameters_and_table_6.activated_parameters()
    assert number(audit, "deepseek-moe-16b without_embeddings_b") == pytest.approx(bare / 1e9)
    assert number(audit, "deepseek-moe-16b with_embeddings_b") == pytest.approx((bare + 2 * 102_400 * 2048) / 1e9)


@pytest.mark.parametrize("model", ["mixtral-8x7b", "mixtral-8x22b", "deepseek-moe-16b", "grok-1"])
def test_the_same_rule_of_counting_gives_the_printed_totals(model: str) -> None:
    audit = parameters_and_table_6.activated_parameters()
    totals = number(audit, f"{model} total_without_embeddings_b"), number(audit, f"{model} total_with_embeddings_b")
    stated = number(audit, f"{model} total_printed_b")
    assert min(abs(total / stated - 1) for total in totals) < 0.005


def test_activated_parameters_agree_once_the_two_are_put_right() -> None:
    def change(paper: Paper) -> None:
        paper["models"]["deepseek-moe-16b"]["activated_params_b"] = 2.8
        paper["models"]["grok-1"]["activated_params_b"] = 83.8

    audit = parameters_and_table_6.activated_parameters(altered(change))
    assert audit.outcome is AGREES
    assert audit.reason == "The architectures give all printed values."


def test_total_of_table_7_fits_separate_embeddings_only() -> None:
    audit = parameters_and_table_6.total_parameters()
    assert audit.values["separate"] is True
    assert audit.values["tied"] is False
    attention = 1024 * (16 * 64 * 2 + 4 * 64 * 2)
    layer = attention + 68 * 3 * 1024 * 640 + 1024 * 64
    assert number(audit, "untied_b") == pytest.approx((24 * layer + 2 * 151_936 * 1024) / 1e9)


@pytest.mark.parametrize(("stated", "outcome"), [(3.4, AGREES), (3.7, DISAGREES), (2.9, DISAGREES)])
def test_total_of_table_7_follows_the_stated_value(stated: float, outcome: AuditOutcome) -> None:
    def change(paper: Paper) -> None:
        paper["table7_architecture"]["stated_total_params_b"] = stated

    assert parameters_and_table_6.total_parameters(altered(change)).outcome is outcome


def test_bench_averages_disagree_when_one_benchmark_is_moved() -> None:
    def change(paper: Paper) -> None:
        paper["table6_non_moe_layer"]["rows"]["12"][3] += 0.1

    audit = parameters_and_table_6.bench_averages(altered(change))
    assert audit.outcome is DISAGREES
    assert audit.reason.startswith("5 of 6 rows")


def test_four_positions_cannot_show_a_decline() -> None:
    audit = parameters_and_table_6.decline_with_depth()
    assert number(audit, "rows") == 4
    assert number(audit, "tau_average") == -1.0
    assert number(audit, "p_average") == number(audit, "smallest_p") == pytest.approx(1 / 24)
    assert number(audit, "p_perplexity") == pytest.approx(4 / 24)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0, 5.0], [5.0, 1.0, 2.0, 4.0, 3.0, 0.0]])
def test_exact_kendall_p_is_scipys(values: list[float]) -> None:
    tau, p_value, _ = parameters_and_table_6._rising(values)
    expected = kendalltau(range(len(values)), values, alternative="greater", method="exact")
    assert (tau, p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_decline_agrees_with_more_positions_and_disagrees_with_a_rise() -> None:
    def more(paper: Paper) -> None:
        rows = paper["table6_non_moe_layer"]["rows"]
        rows.update({"9": [8.5, 38.4, 0, 0, 0, 0], "15": [8.5, 38.1, 0, 0, 0, 0]})

    def rise(paper: Paper) -> None:
        rows = paper["table6_non_moe_layer"]["rows"]
        rows["1"], rows["6"], rows["12"], rows["18"] = rows["18"], rows["12"], rows["6"], rows["1"]

    assert parameters_and_table_6.decline_with_depth(altered(more)).outcome is AGREES
    assert parameters_and_table_6.decline_with_depth(altered(rise)).outcome is DISAGREES


# --- Figure 10 -----------------------------------------------------------------------------------


def tokens_with(ranks_of_scores: np.ndarray[Any, Any]) -> Paper:
    """Figure 10 as tokens of norm ranks 1..8 and these score ranks (T, 8) would draw it, at its own height."""
    table = np.zeros((8, 8))
    for scores in ranks_of_scores:
        table[np.arange(8), scores] += 38_125 / len(ranks_of_scores)

    def change(paper: Paper) -> None:
        paper[FIGURE10] = {str(i + 1): list(row) for i, row in enumerate(table)}

    return altered(change)


def test_margins_imply_1190_tokens_in_32_layers() -> None:
    audit = figure_10.figure10_margins()
    assert number(audit, "constant") == pytest.approx(38_100, rel=0.001)
    assert number(audit, "implied_tokens") == pytest.approx(1_190, abs=5)
    assert number(audit, "layers") == 32
    assert number(audit, "largest_deviation") / number(audit, "constant") < 0.01


def test_margins_disagree_when_one_bar_is_far_too_high() -> None:
    def change(paper: Paper) -> None:
        paper[FIGURE10]["5"][4] += 4000

    assert figure_10.figure10_margins(altered(change)).outcome is DISAGREES


def test_effects_of_the_published_bars() -> None:
    effects = figure10_effects()
    assert effects.mean_spearman == pytest.approx(0.63, abs=0.005)
    assert effects.top1_agreement == pytest.approx(0.68, abs=0.005)
    assert effects.top2_overlap == pytest.approx(0.70, abs=0.005)
    assert effects.modal_share_by_norm_rank == 1.0
    assert effects.modal_share_by_score_rank == 7 / 8


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=25)
def test_effects_are_the_means_over_tokens(seed: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(8), (tokens, 1)), axis=1)
    effects = figure10_effects(tokens_with(scores))
    assert effects.mean_spearman == pytest.approx(np.mean([spearmanr(range(8), row).statistic for row in scores]))
    assert effects.top1_agreement == pytest.approx(np.mean(scores[:, 7] == 7))
    assert effects.top2_overlap == pytest.approx(np.mean(scores[:, 6:] >= 6))
    assert effects.diagonal_mass == pytest.approx(np.mean(scores == np.arange(8)))


def test_effect_sizes_turn_with_the_bars() -> None:
    rng = np.random.default_rng(1)
    unrelated = rng.permuted(np.tile(np.arange(8), (400, 1)), axis=1)
    faint = np.where(rng.random((400, 1)) < 0.12, np.arange(8), unrelated)
    reverse = np.tile(np.arange(8)[::-1], (400, 1))
    outcomes = [figure_10.figure10_effect_sizes(tokens_with(s)).outcome for s in (unrelated, faint, reverse)]
    assert outcomes == [DISAGREES, LACKS_POWER, DISAGREES]


def test_diagonal_depends_on_the_direction_and_on_reading_error() -> None:
    audit = figure_10.figure10_diagonal()
    assert (number(audit, "ranks_along_norm"), number(audit, "ranks_along_score")) == (8, 7)
    assert number(audit, "assumed_reading_error") == 300
    assert audit.values["outcome_if_bars_were_exact"] == "disagrees"
    assert abs(number(audit, "lead at score rank 2")) < number(audit, "lead_needed")


def test_diagonal_turns_with_the_bars() -> None:
    same = np.tile(np.arange(8), (10, 1))
    swapped = same.copy()
    swapped[:, [2, 3]] = swapped[:, [3, 2]]
    assert figure_10.figure10_diagonal(tokens_with(same)).outcome is AGREES
    assert figure_10.figure10_diagonal(tokens_with(swapped)).outcome is DISAGREES


# --- printed numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "error"), [(12.9, 0.05), (39, 0.5), (0.3, 0.05), (78.5, 0.05), (0.15, 0.005)])
def test_rounding_error_is_half_of_the_last_digit(value: float, error: float) -> None:
    assert rounding.rounding_error(value) == error


def test_rounding_error_of_infinity_is_refused() -> None:
    with pytest.raises(ValueError, match="a printed number must be finite, not inf"):
        rounding.rounding_error(math.inf)


def test_models_carry_the_papers_names() -> None:
    values: Mapping[str, float] = {"mixtral-8x22b": 0.261, "grok-1": 0.15}
    assert rounding.by_model(published(), values, ".2f") == "Mixtral-22 0.26, Grok 0.15"
