"""The models inside the package and the points along their training, by name."""

import json
from pathlib import Path

import pytest

from moe_claims.errors import UsageError
from moe_claims.models import embedded
from moe_claims.models.embedded import EMBEDDED, embedded_directory, point_file, points_of, revisions_of, step_of
from moe_claims.models.names import resolve
from moe_claims.zoo.recipes import RECIPES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two embedded models, one with points along its training."""
    monkeypatch.setattr(embedded, "files", lambda _: tmp_path)
    for name in ("tiny-scratch", "tiny-fine"):
        made = tmp_path / "models" / name
        made.mkdir(parents=True)
        (made / "config.json").touch()
        (made / "recipe.json").write_text(json.dumps({"recipe": {"steps": 100}}))
    kept = embedded_directory("tiny-scratch")
    (kept / "points").mkdir()
    for step in (20, 5):
        point_file(kept, step).touch()
    (kept / "points" / "notes.txt").touch()
    return kept


def test_points_are_found_in_order_and_the_finished_model_is_the_last(folder: Path) -> None:
    assert points_of(folder) == [5, 20]
    assert revisions_of(folder) == ["step5", "step20", "step100"]
    assert revisions_of(embedded_directory("tiny-fine")) == []
    assert [step_of(folder, name, "x") for name in revisions_of(folder)] == [5, 20, None]


def test_a_point_is_named_after_the_model(folder: Path) -> None:
    ref = resolve("tiny-scratch@step20")
    assert (ref.name, ref.kind, ref.target, ref.revision) == ("tiny-scratch@step20", "embedded", str(folder), "step20")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tiny-scratch@step7",
            "'tiny-scratch@step7': there is no point 'step7' along its training; there are step5, step20, step100",
        ),
        (
            "tiny-scratch@main",
            "'tiny-scratch@main': there is no point 'main' along its training; there are step5, step20, step100",
        ),
        ("tiny-fine@step5", "'tiny-fine@step5': no points along its training are kept; leave out '@step5'"),
    ],
)
def test_points_that_are_not_there(folder: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        resolve(name)
    assert str(raised.value) == message


def test_every_recipe_is_embedded() -> None:
    assert set(RECIPES) == set(EMBEDDED)
