"""Files: the same to the byte, text that stays text, colours that stay what they were."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from moe_claims.errors import ModelError
from moe_claims.figures import files, outputs
from moe_claims.figures.catalogue import KINDS
from moe_claims.figures.data import Read, Subject
from moe_claims.figures.files import few_colours, folder_names, write

Subjects = Callable[[str], Subject]
HOSTILE = '<script>alert(1)</script> "q" $x$ \u202eRTL\u202c =1+1 \U0001f9ff &amp; ]]> \x1b[31m ' + "n" * 300


@pytest.fixture
def two_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map and a curve, so that files of all kinds need not be written each time."""
    monkeypatch.setattr(
        files, "KINDS", tuple(kind for kind in KINDS if kind.id in ("outputs-by-token", "depth-weights"))
    )


@pytest.mark.parametrize("which", ["few", pytest.param("many", marks=pytest.mark.campaign("long"))])
def test_every_kind_is_written(which: str, subject: Subjects, tmp_path: Path) -> None:
    written = write(subject(which), tmp_path / "new", ("png",))
    assert [one.kind for one in written] == list(KINDS)
    assert all(one.reason is None and one.caption.startswith(one.kind.caption) for one in written)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(f"{kind.id}.png" for kind in KINDS)
    for one in written:
        image = Image.open(one.files[0])
        assert 300 < image.width <= 1430 and 200 < image.height < 2400
        assert np.asarray(image.convert("RGB"))[-1, -1].tolist() == [255, 255, 255]  # paper


@pytest.mark.usefixtures("two_kinds")
def test_the_same_measurements_give_the_same_bytes(
    subject: Subjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    first = write(subject("few"), tmp_path / "first", ("png", "svg"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "image.cmap": "jet", "axes.facecolor": "black"}):
        second = write(subject("few"), tmp_path / "second", ("png", "svg"))
    for one, other in zip(first, second, strict=True):
        assert [path.read_bytes() for path in one.files] == [path.read_bytes() for path in other.files]
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


@pytest.mark.usefixtures("two_kinds")
def test_text_of_svg_is_text_and_hostile_names_are_inert(subject: Subjects, tmp_path: Path) -> None:
    one = subject("few")
    assert isinstance(one.short, Read)
    words = ("<b>$", "]]>", "\u202e", "\x00", '"&', "ok", "=1")
    hostile = replace(one, name=HOSTILE, short=Read(HOSTILE, words, one.short.routed))
    for written in write(hostile, tmp_path, ("png", "svg")):
        content = written.files[1].read_text(encoding="utf-8")
        root = ElementTree.fromstring(content)
        shown = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert written.kind.title in shown
        assert any(text.startswith('<script>alert(1)</script> "q" $x$ \\u202eRTL') for text in shown)
        assert max(map(len, shown)) <= 110
        assert "<script" not in content and "\u202e" not in content
        assert not re.search(r"<date|http://purl.org/dc/elements/1.1/date|\d{4}-\d\d-\d\dT", content)
        if written.kind.id == "outputs-by-token":
            assert {"<b>$", "]]>", "\\u202e", "\\x00", '"&', "ok", "=1"} <= {*shown}


def test_a_kind_that_does_not_apply_has_its_reason(subject: Subjects, tmp_path: Path) -> None:
    without = replace(subject("few"), text=ModelError("'x' has no tokenizer"), short=ModelError("nor for this"))
    written = {one.kind.id: one for one in write(without, tmp_path, ("svg",))}
    assert written["rank-counts"].reason == "'x' has no tokenizer"
    assert written["norms-and-scores"].reason == "nor for this"
    assert written["rank-counts"].files == ()
    assert written["matrix-similarity"].reason is None
    assert len(list(tmp_path.iterdir())) == sum(one.reason is None for one in written.values()) == 7


def test_no_folder_is_left_where_nothing_was_drawn(subject: Subjects, tmp_path: Path) -> None:
    without = replace(subject("few"), text=ModelError("no text"))
    kinds = [kind for kind in KINDS if kind.id == "rank-counts"]
    (written,) = write(without, tmp_path / "figures" / "a-model", ("svg",), kinds)
    assert written.reason == "no text"
    assert list(tmp_path.iterdir()) == []


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))))
def test_a_palette_moves_no_colour_far(colours: Any) -> None:
    few = few_colours(colours)
    assert few is not None  # 144 dots have no more colours
    indices, palette = few
    assert np.array_equal(palette[indices], colours)  # and few enough are kept as they are


def test_frequent_colours_are_kept_and_rare_ones_give_way() -> None:
    cells = np.stack([np.arange(200), np.arange(200)[::-1], np.full(200, 90)], axis=1).astype(np.uint8)
    often = np.repeat(cells[::10], 500, axis=0)
    picture = np.concatenate([often, cells, cells + 1, cells + 2])[None]
    few = few_colours(picture)
    assert few is not None
    indices, palette = few
    drawn = palette[indices]
    assert len(palette) <= 256
    np.testing.assert_array_equal(drawn[0, : len(often)], often)
    assert np.abs(drawn.astype(int) - picture).max() <= 8
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    assert few_colours(noise) is None


def test_a_picture_of_too_many_colours_is_kept_whole(
    subject: Subjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = outputs.averaged(subject("few")).figure
    reduced = files._image(figure)
    monkeypatch.setattr(files, "few_colours", lambda _: None)
    whole = files._image(figure)
    assert (reduced.mode, whole.mode) == ("P", "RGB")
    apart = np.asarray(reduced.convert("RGB")).astype(int) - np.asarray(whole)
    assert np.abs(apart).max() <= 8
    file = io.BytesIO()
    whole.save(file, format="PNG")
    assert file.getvalue()


def test_folders_of_several_models() -> None:
    names = ["org/name@main", "org-name-main", "..", "/", "a" * 300, HOSTILE, "synthetic:null?seed=3"]
    found = folder_names(names)
    assert found[:4] == ["org-name-main", "org-name-main-2", "model", "model-2"]
    assert found[6] == "synthetic-null-seed-3"
    assert len(set(found)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", name) and len(name) <= 62 for name in found)
