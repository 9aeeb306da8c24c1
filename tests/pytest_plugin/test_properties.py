"""What one test says of itself: flat properties without what is not there, and a table for people."""

from collections.abc import Callable
from typing import Any

from moe_claims.pytest_plugin.properties import html, properties

Maker = Callable[..., dict[str, Any]]
AUDIT = {"id": "an-audit", "outcome": "agrees", "printed": "0.5", "recomputed": "0.5", "reason": "The same."}


def test_properties_of_a_result(made_row: Maker) -> None:
    assert properties("result", made_row()) == [
        ("claim", "look_into_moes/router-norm"), ("variant", "total"), ("evidence", "live"), ("model", "a-model"),
        ("text", "builtin"), ("verdict", "replicated"), ("effect", 0.63123456789012345), ("ci_low", -0.1),
        ("ci_high", 1 / 3), ("p_adjusted", 0.0013), ("reason", "p ≤ 0.001"),
    ]  # fmt: skip
    bare = made_row(variant=None, corpus=None, effect=None, interval=None, p_adjusted=None)
    assert [name for name, _ in properties("result", bare)] == ["claim", "evidence", "model", "verdict", "reason"]


def test_properties_of_audits_and_errors_and_of_nothing_else() -> None:
    assert properties("audit", AUDIT)[:2] == [("audit", "an-audit"), ("outcome", "agrees")]
    error = {"model": None, "claim": "x", "message": "it broke\x1b"}
    assert properties("error", error) == [("claim", "x"), ("error", r"it broke\x1b")]
    assert properties("model", {"name": "a"}) == []


def test_the_table_for_people(made_row: Maker) -> None:
    table = html("result", made_row(reason="a < b"))
    assert '<th scope="row">effect</th><td><bdi>mean Spearman ρ: 0.63</bdi></td>' in table
    assert '<th scope="row">95 % interval</th><td><bdi>[-0.10, 0.34]</bdi></td>' in table
    assert '<th scope="row">adjusted p</th><td><bdi>0.002</bdi></td>' in table
    assert "a &lt; b" in table
    assert "random init" not in table
    assert "✓ agrees" in html("audit", AUDIT)
    assert html("error", {"model": None, "claim": "x", "message": "m"}) == ""
