"""The page and the list of figures, for whatever a model is called."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moe_claims.figures import gallery_page
from moe_claims.figures.catalogue import KINDS
from moe_claims.figures.files import Written
from moe_claims.printable import printable
from moe_claims.report.markdown_text import escape

CARD = {
    "name": "some-model", "family": "mixtral", "moe_layers": 3, "experts": 8, "top_k": 2, "revision_sha": None,
    "weights_sha256": "ab" * 32, "note": None,
}  # fmt: skip
CORPUS = {"name": "builtin", "sequences": 4, "tokens": 1234, "text_sha256": "cd" * 32, "token_ids_sha256": "ef" * 32}
ENVIRONMENT = {"moe_claims": "0", "tokens": None}


def _model(folder: Path, **card: Any) -> gallery_page.Model:
    figures = [Written(kind, kind.caption + " And a note.", (folder / f"{kind.id}.png",)) for kind in KINDS]
    figures[3] = Written(KINDS[3], KINDS[3].caption, reason="it has no tokenizer")
    return gallery_page.Model({**CARD, **card}, CORPUS, "A short one", "F: dense", (0, 2), tuple(figures))


def test_the_list_holds_every_figure_with_its_caption(tmp_path: Path) -> None:
    found = json.loads(gallery_page.as_json(gallery_page.document([_model(tmp_path / "a b")], ENVIRONMENT, tmp_path)))
    assert found["format"] == 1
    assert found["environment"] == ENVIRONMENT
    (model,) = found["models"]
    assert model["model"] == CARD and model["corpus"] == CORPUS
    assert (model["layers"], model["reference"], model["short_input"]) == ([0, 2], "F: dense", "A short one")
    assert [one["id"] for one in model["figures"]] == [kind.id for kind in KINDS]
    first, missing = model["figures"][0], model["figures"][3]
    assert first == {
        "id": "matrix-similarity",
        "title": KINDS[0].title,
        "paper": "arXiv 2406.18219",
        "counterpart": "Figure 1 (section 4.1.1)",
        "claims": list(KINDS[0].claims),
        "caption": KINDS[0].caption + " And a note.",
        "files": ["a b/matrix-similarity.png"],
        "reason": None,
    }
    assert (missing["files"], missing["reason"]) == ([], "it has no tokenizer")


def test_the_page_shows_every_figure_and_where_it_comes_from(tmp_path: Path) -> None:
    text = gallery_page.render([_model(tmp_path / "a b")], ENVIRONMENT, tmp_path, "python -m moe_claims figures x")
    assert "| some-model | mixtral | 3 | 2 of 8 | abababababababab | builtin, 4 sequences, 1,234 tokens" in text
    assert "\n    python -m moe_claims figures x\n" in text
    assert "](a%20b/matrix-similarity.png)\n\nAnd a note." in text
    assert "**some-model**: not drawn, because it has no tokenizer." in text
    for kind in KINDS:
        assert f"## {escape(kind.title)}\n" in text
        assert escape(kind.counterpart) in text


def test_several_models_stand_below_each_other_with_their_names(tmp_path: Path) -> None:
    models = [_model(tmp_path / name, name=name) for name in ("one", "two")]
    text = gallery_page.render(models, ENVIRONMENT, tmp_path / "elsewhere", "c")
    section = text.split("\n## ")[1]
    assert section.index("(../one/matrix") < section.index("**one**. And") < section.index("(../two/matrix")
    both = replace(models[0], figures=(Written(KINDS[0], KINDS[0].caption, (tmp_path / "a.png", tmp_path / "a.svg")),))
    assert "](a.png) ([SVG](a.svg))" in gallery_page.render([both], ENVIRONMENT, tmp_path, "c")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a | b ](javascript:x) `c`", "\u202ename", "new\nline # x", "$x$ \x1b[31m"]
)
def test_hostile_names_are_inert(name: str, tmp_path: Path) -> None:
    model = replace(_model(tmp_path, name=name, note=name, family=name), reference=name, short=name)
    text = gallery_page.render([model], {"dtype": name}, tmp_path, f"python {name}")
    assert "\u202e" not in text and "\x1b" not in text
    outside = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    assert "<script" not in outside and "`c`" not in outside and "](java" not in outside and "\n# x" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("|") and "builtin" in line]
    assert row.count("|") == 8
    assert json.loads(gallery_page.as_json(gallery_page.document([model], {}, tmp_path)))["models"][0]["model"][
        "name"
    ] == printable(name)


def test_a_model_without_a_text_has_none(tmp_path: Path) -> None:
    text = gallery_page.render([replace(_model(tmp_path), corpus=None, reference=None)], {}, tmp_path, "c")
    assert "| abababababababab | – | none |" in text
