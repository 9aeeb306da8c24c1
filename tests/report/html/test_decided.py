"""Which p decided a row, and what is linked."""

from typing import Any

import pytest

from moe_claims.report.html.decided import Decided, address, decided, reach, unit


def row(p: float | None, adjusted: float | None, verdict: str = "replicated", **details: Any) -> dict[str, Any]:
    return {"p_value": p, "p_adjusted": adjusted, "verdict": verdict, "details": details}


def test_the_smaller_of_both_directions_decides() -> None:
    found = decided(row(0.01, 0.03, p_opposite=0.99, p_opposite_adjusted=1.0))
    assert found == Decided(0.03, corrected=True, other_way=False, tests=())
    assert found.said == "as claimed"
    found = decided(row(0.99, 1.0, p_opposite=0.004, p_opposite_adjusted=0.02))
    assert found == Decided(0.02, corrected=True, other_way=True, tests=())
    assert found.said == "the other way"


def test_the_test_whose_p_it_is_has_its_name() -> None:
    found = decided(row(0.5, 0.7, p_by_chance=0.1, p_given_numbers=0.5, p_opposite=0.5, p_opposite_adjusted=0.9))
    assert found is not None
    assert found.said == "as claimed: given numbers"
    found = decided(row(0.1, 0.2, p_labels=0.1, p_sign_flips=0.1, p_opposite_adjusted=0.9, smallest_p=0.1))
    assert found is not None
    assert found.said == "as claimed: labels = sign flips"


def test_a_file_that_lacks_the_other_direction_corrected_is_not_taken_for_one_that_has_it() -> None:
    found = decided(row(0.99, 1.0, p_opposite=0.004))
    assert found == Decided(0.004, corrected=False, other_way=True, tests=())
    assert found.said == "the other way, not corrected"
    assert decided(row(0.2, 0.4)) == Decided(0.4, corrected=True, other_way=False, tests=())


def test_where_an_interval_decided_that_is_said() -> None:
    found = decided(row(0.6, 0.9, "absent", p_labels=0.6, p_opposite_adjusted=0.95))
    assert found is not None
    assert found.said == "as claimed: labels; the 90 % interval decided"


def test_no_p_is_none() -> None:
    assert decided(row(None, None, p_opposite=None)) is None


@pytest.mark.parametrize(("smallest", "said"), [(0.2, "≥ 0.20"), (-0.3, "≤ -0.30"), (0.01, "≥ 0.010")])
def test_from_where_on_an_effect_is_of_interest(smallest: float, said: str) -> None:
    assert reach({"effect": {"smallest_of_interest": smallest}}) == said


def test_units_are_read_from_the_name() -> None:
    assert unit("excess loss of the last layer, in nats per token") == "nats per token"
    assert unit("share of experts in a layer") == ""


@pytest.mark.parametrize(
    ("paper", "link"),
    [
        ("arXiv 2406.18219", "https://arxiv.org/abs/2406.18219"),
        ("arxiv:2406.18219v2", "https://arxiv.org/abs/2406.18219v2"),
        ("doi 10.1000/a.b(1)", "https://doi.org/10.1000/a.b(1)"),
        ("javascript:alert(1)", None),
        ("https://x.org/2406.18219", None),
        ('arXiv 2406.18219"onload=x', None),
        ("arXiv 2406.18219 and more", None),
    ],
)
def test_papers_are_linked_by_number_alone(paper: str, link: str | None) -> None:
    assert address(paper) == link
