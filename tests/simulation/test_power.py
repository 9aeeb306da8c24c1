"""Power curves: read where they cross, and written with what would reach the power wanted."""

from pathlib import Path

import pytest

from moe_claims.errors import UsageError
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.simulation.calibration import Rate
from moe_claims.simulation.power import STRENGTHS, Curve, Point, curve, setup_of, summary, times_as_many
from moe_claims.simulation.power_figure import draw
from moe_claims.simulation.power_over_depth import DepthPower, depth_power, layers_that_reach
from moe_claims.simulation.trials import Row


def _curve(claim: str, effects: list[float], hits: list[int], variant: str | None = None) -> Curve:
    points = tuple(Point(effect, Rate(hit, 10)) for effect, hit in zip(effects, hits, strict=True))
    return Curve(LIVE[claim], variant, points)


def test_power_at_the_smallest_effect_is_read_between_two_strengths() -> None:
    found = _curve("neuron-experts", [0.0, 0.05, 0.15, 0.4], [0, 4, 8, 10])
    assert found.at_smallest == pytest.approx(0.6)
    assert found.effect_found == pytest.approx(0.15)


def test_a_claim_of_a_fall_is_read_downwards() -> None:
    found = _curve("diversity-depth", [0.0, -0.2, -0.4], [0, 4, 10])
    assert found.at_smallest == pytest.approx(0.7)
    assert found.effect_found == pytest.approx(-0.2 - 0.2 * 4 / 6)


def test_what_no_strength_reaches_is_not_reached() -> None:
    weak = _curve("neuron-experts", [0.0, 0.02], [0, 3])
    assert weak.at_smallest is None
    assert weak.effect_found is None
    line = "| neuron-experts | 0.1 | – | not reached | not known: next to none is found here |"
    assert line in summary([weak], _depth(), 1, "x.png")


def test_what_reaches_the_power_wanted_is_what_a_z_test_needs() -> None:
    # One-sided, at 5 %: an effect of δ standard errors is found with probability Φ(δ − 1.645).
    for found, times in ((0.8, 1.0), (0.95, 1.0), (0.5, (2.4865 / 1.6449) ** 2), (0.2, (2.4865 / 0.8032) ** 2)):
        assert times_as_many(found) == pytest.approx(times, rel=1e-3)
    assert times_as_many(0.04) is None
    labels, text = _curve("neuron-experts", [0.0, 0.2], [0, 10]), _curve("routing-runs", [0.0, 0.1], [0, 10])
    assert "| 50 % | 0.16 | with about 37 layers |" in summary([labels], _depth(), 1, "x")
    assert "| 50 % | 0.08 | with about 60 sequences |" in summary([text], _depth(), 1, "x")


def _depth() -> list[DepthPower]:
    return [
        DepthPower(test, effect, layers, Rate(hits, 10))
        for test, effect in (("trend", 0.3), ("last layer", 3.0))
        for layers, hits in ((16, 2), (64, 9 if test == "trend" else 5))
    ]


def test_layers_are_what_claims_over_depth_lack() -> None:
    depth = _depth()
    assert layers_that_reach(depth, "trend", 0.3, 0.8) == 64
    assert layers_that_reach(depth, "last layer", 3.0, 0.8) is None
    trend = _curve("diversity-depth", [0.0, -0.4], [0, 8])
    last = _curve("last-layer-outlier", [0.0, 6.0], [0, 9])
    text = summary([trend, last], depth, 7, "power.png")
    assert "| diversity-depth | -0.3 | 60 % | -0.4 | with about 64 layers |" in text
    assert "| last-layer-outlier | 3 | 45 % | 5.3 | by no number of layers |" in text
    more = summary([last], [*depth, DepthPower("last layer", 6.0, 16, Rate(9, 10))], 7, "power.png")
    assert "| by no number of layers; 6 is reached with 16 |" in more
    assert "power --seeds 7" in text and "(power.png)" in text


def test_a_claim_of_level_has_no_power_at_its_level() -> None:
    level = _curve("balanced-routing", [0.9, 0.94, 0.99], [0, 0, 10])
    assert "| balanced-routing | 0.95 | – | 0.98 | by no size: a claim of level |" in summary([level], _depth(), 1, "x")


def test_a_curve_counts_what_was_significant_in_the_claimed_direction() -> None:
    def rows(strength: float) -> list[Row]:
        verdicts = ["replicated", "direction-only", "contradicted", "absent"] if strength > 0.5 else ["absent"] * 4
        return [
            {"claims": {"neuron-experts": {"verdict": verdict, "effect": strength if number else None}}}
            for number, verdict in enumerate(verdicts)
        ]

    found = curve(LIVE["neuron-experts"], None, {setup_of(s).name: rows(s) for s in STRENGTHS["all"]})
    assert [point.found for point in found.points] == [Rate(1 if s > 0.5 else 0, 3) for s in STRENGTHS["all"]]
    assert [point.effect for point in found.points] == pytest.approx(STRENGTHS["all"])


def test_strengths_at_which_a_claim_hardly_applies_are_left_out() -> None:
    def rows(strength: float) -> list[Row]:
        effects = [strength if number < 10 * strength else None for number in range(10)]
        verdicts = ["not-applicable" if effect is None else "replicated" for effect in effects]
        return [
            {"claims": {"pca-clusters[up]": {"verdict": verdict, "effect": effect}}}
            for verdict, effect in zip(verdicts, effects, strict=True)
        ]

    found = curve(LIVE["pca-clusters"], "up", {setup_of(s, "upcycled").name: rows(s) for s in STRENGTHS["upcycled"]})
    assert [(point.effect, point.found) for point in found.points] == [
        (pytest.approx(0.2), Rate(2, 2)),
        (pytest.approx(0.6), Rate(6, 6)),
        (pytest.approx(1.0), Rate(10, 10)),
    ]
    # All were found at 0.2; of a smaller effect less is known, and a share is taken in proportion.
    assert found.effect_found == pytest.approx(0.2)
    assert _curve("neuron-experts", [0.4, 0.6], [8, 10]).at_smallest == pytest.approx(0.2)


def test_setups_of_all_strengths_and_kinds_are_told_apart() -> None:
    names = [setup_of(strength, kind).name for kind, strengths in STRENGTHS.items() for strength in strengths]
    assert len(set(names)) == len(names) > 20


def test_more_layers_and_larger_effects_are_found_more_often() -> None:
    found = {(c.test, c.effect, c.layers): c.found.share for c in depth_power(curves=12, layers=(16, 32))}
    assert found["trend", 0.7, 32] >= 0.9 > found["trend", 0.3, 16]
    assert found["last layer", 9.0, 32] >= 0.8 > found["last layer", 3.0, 16]


def test_the_figure_has_a_panel_for_every_claim(tmp_path: Path) -> None:
    path = tmp_path / "power.png"
    draw([_curve("neuron-experts", [0.0, 0.5], [0, 10]), _curve("router-norm", [0.0, 0.5], [0, 10], "total")], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"^figures need matplotlib, which is not installed: pip install "):
        draw([], tmp_path / "power.png")
