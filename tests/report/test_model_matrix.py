"""Claims against models: every row in its place, and what a cell says."""

from collections.abc import Callable
from typing import Any

from moe_claims.report.model_matrix import LEGEND, short, side_by_side
from moe_claims.types import Verdict

Maker = Callable[..., dict[str, Any]]


def test_live_rows_by_claim_and_model_in_their_order(made_row: Maker) -> None:
    rows = [
        made_row(model="b"),
        made_row(model="a", effect=0.5),
        made_row(model="a", claim="top1-confidence", variant=None),
        made_row(model="a", claim="pca-clusters", variant=None, verdict=Verdict.NOT_APPLICABLE),
        made_row(model="c/x", claim="balanced-routing", evidence="public"),
    ]
    found = side_by_side(rows)
    assert found.models == ("b", "a")
    assert found.rows == (("router-norm [total]", (rows[0], rows[1])), ("top1-confidence", (None, rows[2])))


def test_texts_are_named_where_there_are_several(made_row: Maker) -> None:
    rows = [made_row(corpus="one"), made_row(corpus="two"), made_row(claim="neuron-experts", variant=None, corpus=None)]
    names = [name for name, _ in side_by_side(rows).rows]
    assert names == ["router-norm [total] · one", "router-norm [total] · two", "neuron-experts"]


def test_packs_are_named_where_there_are_several(made_row: Maker) -> None:
    rows = [made_row(), made_row(pack="theirs"), made_row(pack="theirs", claim="own", variant=None)]
    assert side_by_side(rows).rows == (
        ("look_into_moes/router-norm [total]", (rows[0],)),
        ("theirs/router-norm [total]", (rows[1],)),
        ("theirs/own", (rows[2],)),
    )


def test_a_cell_has_sign_effect_and_mark(made_row: Maker) -> None:
    fresh = {"random_init": {"verdict": "replicated", "effect": 0.4, "reason": "so", "artefact": True}}
    assert short(made_row()) == "✓ 0.63"
    assert short(made_row(controls=fresh)) == "✓ 0.63 †"
    assert short(made_row(verdict=Verdict.NOT_APPLICABLE, effect=None)) == "–"
    assert short(None) == ""
    assert LEGEND.startswith("✓ replicated, ")
    assert LEGEND.endswith("† at random initialisation too")
