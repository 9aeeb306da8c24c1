"""The four criteria against a printed value: whose error is taken, and which of them apply."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from moe_claims.judge.replication import against_published
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.types import Companion, Finding, Interval

MIXTRAL = "mistralai/Mixtral-8x7B-v0.1"
DEEPSEEK, GROK = "deepseek-ai/deepseek-moe-16b-base", "hpcai-tech/grok-1"
OVER_SEQUENCES, OVER_EXPERTS = "BCa bootstrap over sequences", "jackknife over experts within layers"
PAPER_SEQUENCES = 10
"""Of its long input (section 3)."""


def finding(effect: float, half: float, method: str = OVER_SEQUENCES, **changes: object) -> Finding:
    interval = Interval(effect - half, effect + half, 0.95, method)
    return replace(Finding(effect, interval, interval, 0.001, 0.999, 1e-4, 26), **changes)


def compared(found: Finding, published: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The criteria as the pack's rows have them."""
    return against_published(found, published, PACK.sequences)


def test_our_error_scaled_to_the_papers_sequences_stands_in_for_theirs() -> None:
    published = PACK.published_value(LIVE["router-norm"], "total", MIXTRAL)
    criteria = compared(finding(0.60, 0.0196), published)
    assert criteria is not None
    assert criteria["published_standard_error"] == pytest.approx(0.01 * (26 / PAPER_SEQUENCES) ** 0.5, rel=1e-3)
    assert criteria["standard_error_origin"] == "not published: ours scaled to the paper's 10 sequences"
    over_experts = compared(finding(0.60, 0.0196, OVER_EXPERTS), published)
    assert over_experts is not None
    assert over_experts["published_standard_error"] == pytest.approx(0.01, rel=1e-3)
    assert over_experts["standard_error_origin"] == "not published: taken to equal ours"
    signs = compared(finding(0.5, 0.1), PACK.published_value(LIVE["neuron-experts-sign"], None, MIXTRAL))
    assert signs is not None
    assert signs["standard_error_origin"] == "from the paper's figures"


def test_a_value_like_the_papers_meets_all_four_and_one_unlike_it_none() -> None:
    published = PACK.published_value(LIVE["router-norm"], "total", MIXTRAL)
    four = (
        "published_in_our_interval",
        "ours_in_prediction_interval",
        "small_telescope_passed",
        "pooled_differs_from_none",
    )
    like, unlike = (compared(finding(effect, 0.02), published) for effect in (0.63, -0.30))
    assert like is not None
    assert unlike is not None
    assert [like[key] for key in four] == [True] * 4
    assert [unlike[key] for key in four] == [False] * 4


def test_companions_are_compared_one_by_one() -> None:
    published = PACK.published_value(LIVE["router-norm"], "total", MIXTRAL)
    companions = {
        "top-1 agreement": Companion(0.68, Interval(0.66, 0.70, 0.95, OVER_SEQUENCES)),
        "top-k overlap": Companion(0.26, Interval(0.24, 0.28, 0.95, OVER_SEQUENCES)),
        "something else": Companion(0.5, Interval(0.4, 0.6, 0.95, OVER_SEQUENCES)),
    }
    criteria = compared(finding(0.63, 0.02, companions=companions), published)
    assert criteria is not None
    assert set(criteria["companions"]) == {"top-1 agreement", "top-k overlap"}
    near, far = criteria["companions"]["top-1 agreement"], criteria["companions"]["top-k overlap"]
    assert near["published_in_our_interval"] and near["ours_in_prediction_interval"] and near["small_telescope_passed"]
    assert not (far["published_in_our_interval"] or far["ours_in_prediction_interval"])
    # The telescope starts at chance, a quarter, and not at 0.
    assert far["small_telescope"] > 0.25


def test_where_the_paper_finds_none_two_criteria_do_not_apply() -> None:
    published = PACK.published_value(LIVE["neuron-order"], "up", DEEPSEEK)
    criteria = compared(finding(0.001, 0.002, OVER_EXPERTS), published)
    assert criteria is not None
    assert criteria["published_in_our_interval"] and criteria["ours_in_prediction_interval"]
    assert criteria["small_telescope_passed"] is criteria["pooled_differs_from_none"] is None


def test_a_share_below_its_level_is_compared_on_that_side() -> None:
    published = PACK.published_value(LIVE["activation-ratio"], None, GROK)
    low, high = (compared(finding(share, 0.01), published) for share in (0.25, 0.97))
    assert low is not None
    assert high is not None
    assert low["small_telescope_passed"]
    assert not high["small_telescope_passed"]


def test_no_criteria_without_a_published_value_or_an_interval_with_width() -> None:
    assert compared(finding(0.6, 0.02), None) is None
    published = PACK.published_value(LIVE["neuron-order"], "up", DEEPSEEK)
    assert compared(finding(0.0, 0.0), published) == {
        "reason": "our interval has no width, so the criteria cannot be computed",
        "companions": {},
    }


def test_a_paper_that_does_not_say_how_many_sequences_it_ran_is_taken_to_err_as_we_do() -> None:
    published = PACK.published_value(LIVE["router-norm"], "total", MIXTRAL)
    criteria = against_published(finding(0.60, 0.0196), published, None)
    assert criteria is not None
    assert criteria["published_standard_error"] == pytest.approx(0.01, rel=1e-3)
    assert criteria["standard_error_origin"] == "not published: taken to equal ours"
    assert PACK.sequences == PAPER_SEQUENCES
    six = against_published(finding(0.60, 0.0196), published, 6)
    assert six is not None
    assert six["standard_error_origin"] == "not published: ours scaled to the paper's 6 sequences"
    assert six["published_standard_error"] == pytest.approx(0.01 * (26 / 6) ** 0.5, rel=1e-3)
