"""The matrix on a terminal: every number whole at every width, in several parts where the models do not fit."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.report import formatting, matrix_table
from moe_claims.report.model_matrix import short
from moe_claims.report.screen import Screen
from moe_claims.types import Verdict

Maker = Callable[..., dict[str, Any]]
FRESH = {"random_init": {"verdict": "replicated", "effect": 0.4, "reason": "so", "artefact": True}}
NAMES = ("tiny-scratch", "tiny-upcycled", "synthetic:planted?layers=2&experts=4&hidden=16", "org/Some-Model-8x7B@main")


@pytest.fixture
def rows(made_row: Maker) -> list[dict[str, Any]]:
    """All claims on several models, with effects that are all different and some of them long."""
    verdicts = [verdict for verdict in Verdict if verdict != Verdict.NOT_APPLICABLE]
    found = []
    for model in NAMES:
        for claim in LIVE.values():
            for variant in claim.variants:
                verdict = verdicts[len(found) % len(verdicts)]
                effect = (-1) ** len(found) * (0.0001 if len(found) % 7 == 0 else 0.1234) * (1 + len(found) / 9)
                controls = FRESH if verdict == Verdict.REPLICATED else {}
                found.append(
                    made_row(
                        claim=claim.id, variant=variant, model=model, verdict=verdict, effect=effect, controls=controls
                    )
                )
    return found


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_cell_is_whole_and_no_line_is_wider(width: int, rows: list[dict[str, Any]]) -> None:
    screen = Screen(width)
    text = matrix_table.render(rows, screen)
    assert max(map(screen.columns, text.splitlines())) <= width
    for row in rows:
        assert re.search(rf"(^|\s){re.escape(short(row))}(\s|$)", text, re.MULTILINE), short(row)
    whole = "".join(text.split())
    assert all(name in whole or width < 200 for name in NAMES)


def test_parts_stand_below_each_other_with_all_claims_in_each(rows: list[dict[str, Any]]) -> None:
    text = matrix_table.render(rows, Screen(40))
    assert len(re.findall(r"^-+$", text, re.MULTILINE)) == len(NAMES)
    assert text.count("balanced-routing") == len(NAMES)
    wide = matrix_table.render(rows, Screen(200))
    assert len(re.findall(r"^-+$", wide, re.MULTILINE)) == 1


def test_names_of_models_are_folded_before_those_of_claims(rows: list[dict[str, Any]]) -> None:
    two = [row for row in rows if row["model"] in NAMES[:2]]
    lines = matrix_table.render(two, Screen(60)).splitlines()
    assert [line.split() for line in lines[1:3]] == [["tiny-"], ["claim", "tiny-scratch", "upcycled"]]
    assert any(line.startswith("weight-last-layer-outlier [down]  ") for line in lines)


def test_one_model_is_one_column(made_row: Maker) -> None:
    text = matrix_table.render([made_row()], Screen(80))
    assert text.splitlines()[0] == "Verdict and effect"
    assert text.splitlines()[1].split() == ["claim", "a-model"]
    assert matrix_table.render([made_row(evidence="public", model="o/m")], Screen(80)) == ""


def test_the_legend_explains_what_is_there(made_row: Maker) -> None:
    plain, marked = ([made_row()], [made_row(controls=FRESH)])
    assert "†" not in matrix_table.render(plain, Screen(80))
    text = matrix_table.render(marked, Screen(80))
    assert "✓ 0.63 †" in text
    assert "† at random initialisation too" in text
    for word, sign in formatting.SIGNS.items():
        assert f"{sign} {word}" in " ".join(text.split())


def test_red_is_for_what_is_contradicted_alone(rows: list[dict[str, Any]]) -> None:
    text = matrix_table.render(rows, Screen(120, colour=True))
    red = re.findall(r"\x1b\[31m(.*?)\x1b\[0m", text)
    assert red
    assert all(part.startswith("✗") for part in red)


def test_claims_that_apply_to_no_model_are_named_elsewhere(made_row: Maker) -> None:
    aside = made_row(claim="pca-clusters", variant=None, verdict=Verdict.NOT_APPLICABLE, effect=None)
    assert matrix_table.left_out([made_row(), aside]) == ["pca-clusters"]
    only = matrix_table.render([aside], Screen(80))
    assert "pca-clusters" not in only
