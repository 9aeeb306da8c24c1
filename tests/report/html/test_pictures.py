"""Figures inside the page: read by their list, kind by kind, and never from anywhere else."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.report.html import pictures

BYTES = b"\x89PNG\r\n\x1a\n one dot"


def listed(folder: Path, *models: str, name: str = "{model}/{kind}.png") -> None:
    """Two kinds of figures per model, of which the second was not drawn for the last model."""
    found: list[dict[str, Any]] = []
    for model in models:
        figures = []
        for kind in ("maps", "curves"):
            path = name.format(model=model, kind=kind)
            drawn = kind == "maps" or model != models[-1]
            figures.append(
                {
                    "id": kind, "title": kind.title(), "counterpart": "Figure 1", "claims": [],
                    "caption": f"The {kind}.",
                    "files": [path] if drawn else [], "reason": None if drawn else "no text",
                }
            )  # fmt: skip
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(BYTES)
        found.append({"model": {"name": model}, "figures": figures})
    (folder / pictures.LIST).write_text(json.dumps({"models": found}))


def test_models_stand_below_each_other_kind_by_kind(tmp_path: Path) -> None:
    listed(tmp_path, "a", "b")
    found = pictures.read(tmp_path)
    assert [one["title"] for one in found] == ["Maps: a", "Maps: b", "Curves: a"]
    assert found[0]["caption"] == "The maps. Counterpart in the paper: Figure 1."
    head, _, data = found[0]["uri"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == BYTES


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    listed(tmp_path, "a", "b")
    (tmp_path / "a" / "maps.png").unlink()
    with pytest.raises(
        UsageError, match=r"^'.*a/maps\.png' is not there: 'python -m moe_claims figures NAME --output DIR'"
    ):
        pictures.read(tmp_path)


@pytest.mark.parametrize("name", ["../{model}-{kind}.png", "{model}-{kind}.json"])
def test_nothing_outside_the_folder_and_nothing_but_pictures_is_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    listed(folder, "a", "b", name=name)
    with pytest.raises(UsageError, match=r"is no list of figures \(ValueError: '.*' is no picture in that folder\)$"):
        pictures.read(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": [{"model": 3}]}'])
def test_what_is_no_list_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / pictures.LIST).write_text(text)
    with pytest.raises(UsageError, match=r"^'.*figures\.json' is no list of figures \(\w+: [^\n]*\)$"):
        pictures.read(tmp_path)


def test_a_folder_without_a_list_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^'.*figures\.json' is not there: 'python -m moe_claims figures"):
        pictures.read(tmp_path)
