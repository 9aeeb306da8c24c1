"""The command ``figures``, through its real entry: files, captions, and one line where it cannot."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from moe_claims._util.optional import install_command
from moe_claims.commands.main import main
from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.figures import files, gallery
from moe_claims.figures.catalogue import KINDS
from moe_claims.figures.gallery import layers_of, short_sequence
from moe_claims.measure.part_measurer import PartMeasurer
from moe_claims.models.embedded import embedded_directory
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve

TINY = "synthetic:planted?layers=3&experts=5&hidden=16&intermediate=16&context=24"
DENSE = TINY.replace("planted", "dense")


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few dots: how files come out at their true size is a matter of test_files.py."""
    monkeypatch.setattr(files, "DPI", 40)


@pytest.fixture
def few_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kinds of maps: one with the dense reference, one that leaves shared experts out, one of a text."""
    ids = ("mean-similarity", "matrix-similarity", "outputs-by-token")
    monkeypatch.setattr(files, "KINDS", tuple(kind for kind in KINDS if kind.id in ids))


def _figures(folder: Path) -> list[dict[str, Any]]:
    (model,) = json.loads((folder / "figures.json").read_text())["models"]
    figures: list[dict[str, Any]] = model["figures"]
    return figures


@pytest.mark.campaign("long")
def test_a_synthetic_model_is_drawn_and_drawn_again_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["figures", TINY, "--tokens", "200", "--dense-reference", DENSE, "--cache", str(tmp_path / "cache")]
    assert main([*command, "--output", str(tmp_path / "one"), "--format", "both"]) == 0
    said = capsys.readouterr().out
    assert f"{TINY}: {len(KINDS)} of {len(KINDS)} kinds of figures drawn" in said
    assert f"written to {tmp_path / 'one'}, with captions in {tmp_path / 'one' / 'figures.md'}" in said
    for figure in _figures(tmp_path / "one"):
        assert figure["files"] == [f"{figure['id']}.png", f"{figure['id']}.svg"]
        assert all((tmp_path / "one" / name).stat().st_size > 1000 for name in figure["files"])
    page = (tmp_path / "one" / "figures.md").read_text()
    assert "F: synthetic:dense" in page
    # Nothing is measured again: the model is not run, and the same files come out.
    monkeypatch.setattr(LayerwiseModel, "__init__", lambda *_, **__: pytest.fail("the model was run again"))
    monkeypatch.setattr(PartMeasurer, "_layerwise", lambda *_: pytest.fail("the model was run again"))
    assert main([*command, "--out", str(tmp_path / "two"), "--layers", "0,1,2"]) == 0  # its earlier name
    for figure in _figures(tmp_path / "two"):
        name = figure["files"][0]
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


@pytest.mark.usefixtures("few_kinds")
def test_an_embedded_model_is_drawn_with_its_own_words(tmp_path: Path) -> None:
    out = tmp_path / "figures"
    command = ["figures", "tiny-fine", "--tokens", "700", "--layers", "1,11", "--format", "svg"]
    assert main([*command, "--output", str(out), "--cache", str(tmp_path / "cache")]) == 0
    figures = {figure["id"]: figure for figure in _figures(out)}
    assert "Layers shown: 1, 11 (2 of 11 MoE layers;" in figures["mean-similarity"]["caption"]
    assert "SE, last, is shared experts of tiny-fine." in figures["mean-similarity"]["caption"]
    assert "SE is left out" in figures["matrix-similarity"]["caption"]
    assert ">&lt;s&gt;<" in (out / "outputs-by-token.svg").read_text()
    card = json.loads((out / "figures.json").read_text())["models"][0]
    assert len(card["model"]["weights_sha256"]) == 64
    assert card["corpus"]["tokens"] == 700
    assert card["short_input"] == "As an open source alternative to"


@pytest.mark.usefixtures("few_kinds")
def test_several_models_have_folders_and_one_page(tmp_path: Path) -> None:
    other = "tiny-scratch@step60"  # of the embedded ones, the dense reference is known
    command = ["figures", TINY, other, "--tokens", "500", "--cache", str(tmp_path / "cache"), "--layers", "0,2"]
    assert main([*command, "--output", str(tmp_path / "out"), "--page", str(tmp_path / "docs" / "page.md")]) == 0
    found = json.loads((tmp_path / "out" / "figures.json").read_text())["models"]
    assert [model["reference"] for model in found] == [None, "F: tiny-dense"]
    assert [model["model"]["name"] for model in found] == [TINY, other]
    page = (tmp_path / "docs" / "page.md").read_text()
    for model in found:
        for figure in model["figures"]:
            assert (tmp_path / "out" / figure["files"][0]).exists()
            assert f"](../out/{figure['files'][0]})" in page
    assert not (tmp_path / "out" / "figures.md").exists()


def test_what_a_model_lacks_is_listed_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / '<img src=x> $x$ "q" \u202e'
    shutil.copytree(embedded_directory("tiny-gelu"), folder)
    (folder / "tokenizer.json").unlink()
    out = tmp_path / "out"
    assert (
        main(["figures", str(folder), "--output", str(out), "--cache", str(tmp_path / "cache"), "--layers", "3"]) == 0
    )
    assert f"7 of {len(KINDS)} kinds of figures drawn" in capsys.readouterr().out
    reasons = {figure["id"]: figure["reason"] for figure in _figures(out)}
    assert "has no tokenizer (tokenizer.json)" in reasons["rank-counts"]
    assert "has no tokenizer (tokenizer.json)" in reasons["outputs-by-token"]
    assert reasons["matrix-similarity"] is None
    page = (out / "figures.md").read_text()
    assert "not drawn, because '" in page
    assert "\u202e" not in page
    assert "<img" not in "\n".join(line for line in page.splitlines() if not line.startswith("    "))


BAD = [
    (["--layers", "4"], f"--layers 4: '{TINY}' has no such MoE layer; it has 0, 1, 2"),
    (["--layers", "0,x"], "--layers 0,x: give layer numbers separated by commas, such as 0,5,31"),
    (["--text", "nothing.txt"], "there is no file 'nothing.txt': give builtin"),
    (["--tokens", "2"], "tokens 2: give a whole number of tokens, 4 or more"),
    (["--device", "cuda:9999"], "--moe-device cuda:9999: "),
    (["--device", "gpu"], "--moe-device gpu: give auto, cpu, cuda, cuda:N or mps"),
    (["--dense-reference", "tiny-dense"], "'tiny-dense' (12 layers, d = 96"),
    (["--dense-reference", "tiny-fine"], "'tiny-fine' is a mixture of experts"),
    (["--output", "a-file/out"], "the folder 'a-file/out' cannot be made (Not a directory): give another one"),
    (["--output", "a-file"], "--output a-file: this is a file; give a folder, which is made where there is none"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_before_anything_is_measured(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gallery, "measured", None)
    Path("a-file").touch()
    assert main(["figures", TINY, "--output", "out", "--cache", "cache", *arguments]) == 4
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert message in said
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


@pytest.mark.parametrize("there", [True, False])
def test_no_folder_is_left_by_what_could_not_be_measured(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MoeClaimsError("it is broken")

    monkeypatch.setattr(gallery, "measured", broken)
    out = tmp_path / "out"
    if there:
        out.mkdir()
    arguments = ["--output", str(out), "--page", str(tmp_path / "docs" / "page.md"), "--cache", str(tmp_path / "cache")]
    assert main(["figures", TINY, *arguments]) == 4
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["out"] * there


def test_a_missing_matplotlib_is_said_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(gallery, "draw", None)
    assert main(["figures", TINY, "--output", str(tmp_path / "out")]) == 4
    assert capsys.readouterr().err == f"error: figures need matplotlib, which is not installed: {install_command()}\n"


def test_layers_are_chosen_or_spread() -> None:
    model = open_model(resolve("synthetic:null?layers=30&experts=2&hidden=16&intermediate=4"))
    assert layers_of(model, None) == (0, 6, 12, 17, 23, 29)
    assert layers_of(model, (7, 8)) == (7, 8)
    with pytest.raises(UsageError, match=r"--layers 30: '.*' has no such MoE layer; it has 0 to 29"):
        layers_of(model, (30,))
    with pytest.raises(UsageError, match="--layers names 13 layers: a page holds 12; give fewer, in several runs"):
        layers_of(model, tuple(range(13)))


def test_words_are_those_of_the_tokenizer_or_numbers() -> None:
    model = open_model(resolve("tiny-scratch"))
    read = short_sequence(model)
    words = gallery._words(model, read.ids[0])
    assert "".join(words).replace("<s>", "") == "Asanopensourcealternativeto"
    synthetic = open_model(resolve(TINY))
    assert gallery._words(synthetic, (0, 47)) == ("#0", "#47")
    assert gallery._word("\ufffd", 9) == "#9"
    assert [gallery._word(word, 1) for word in (" to", "\n", " ", "", "\t")] == ["to", "↵", "␣", "#1", "⇥"]


def test_the_page_of_the_docs_is_of_these_kinds_and_small() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "figures.md").read_text(encoding="utf-8")
    models = json.loads((docs / "figures" / "figures.json").read_text(encoding="utf-8"))["models"]
    assert {model["model"]["experts"] for model in models} == {8, 32, 64}
    for model in models:
        found = {figure["id"]: figure for figure in model["figures"]}
        assert list(found) == [kind.id for kind in KINDS]
        for kind in KINDS:
            assert found[kind.id]["caption"].startswith(kind.caption)
            assert found[kind.id]["counterpart"] == kind.counterpart
            assert all(f"](figures/{name})" in page for name in found[kind.id]["files"])
    files = [path for path in (docs / "figures").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
