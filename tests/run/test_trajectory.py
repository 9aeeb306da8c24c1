"""Which checkpoints of a training are judged, and the command that judges them, on a training that was just made."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_claims._util.optional import install_command
from moe_claims.commands.main import main
from moe_claims.errors import UsageError
from moe_claims.judge.pack import Pack
from moe_claims.models import embedded
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.report import results, trajectory
from moe_claims.run import session
from moe_claims.run.trajectory import chosen, models
from moe_claims.zoo.points import pack
from moe_claims.zoo.recipes import recipe
from moe_claims.zoo.tokens import TokenStream
from moe_claims.zoo.train import train

_SETTINGS = {"vocab_size": 512, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
SMALL = replace(
    recipe("tiny-scratch"),
    settings={**recipe("tiny-scratch").settings, **_SETTINGS, "intermediate_size": 16},
    steps=8, warmup=2, sequence=16, batch=4, points=(1, 2, 4, 8),
)  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of eight steps, exported and packed as an embedded model."""
    place = tmp_path_factory.mktemp("installed")
    rng = np.random.default_rng(0)
    stream = TokenStream(rng.integers(2, 512, 5000).astype(np.uint16), 10_000)
    work, folder = place / "work", place / "models" / "tiny-scratch"
    work.mkdir()
    model = train(SMALL, stream, work)
    model.to(torch.bfloat16).save_pretrained(folder, save_original_format=True)
    shutil.copy(embedded.embedded_directory("tiny-dense") / "tokenizer.json", folder)
    (folder / "recipe.json").write_text(json.dumps({"recipe": SMALL.as_dict()}))
    found = pack(SMALL, work, folder)
    assert found["relative_error"] < 0.1
    assert embedded.points_of(folder) == [1, 2, 4]
    shutil.copytree(folder, place / "models" / "tiny-dense")  # a whole installation has a dense reference
    return place


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60, unique=True), st.integers(2, 12))
def test_points_are_spread_with_both_ends_and_in_order(steps: list[int], points: int) -> None:
    found = [trajectory.step_of(name) for name in chosen([f"step{step}" for step in steps], points)]
    assert found == sorted(set(found))  # type: ignore[type-var]
    assert set(found) <= set(steps)
    assert len(found) == len(steps) if len(steps) <= points else 2 <= len(found) <= points
    assert {found[0], found[-1]} == {min(steps), max(steps)}


def test_steps_are_read_from_the_names_of_revisions() -> None:
    names = ("step500", "step10000-tokens41B", "a/b@step-7", "org/step3@main", "main", "step")
    assert [trajectory.step_of(name) for name in names] == [500, 10_000, 7, None, None, None]


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        (
            "tiny-upcycled",
            None,
            "'tiny-upcycled' has no checkpoints along its training that are known by name (stepN): ",
        ),
        ("synthetic:null", None, "'synthetic:null' has no checkpoints along its training that are known by name"),
        ("org/name@step5", None, "'org/name@step5' names one revision: leave it out, and give several with --revi"),
        ("org/name", ["step5", "main"], "revision 'main' names no step: give names such as step500"),
        (
            "org/name",
            ["step5"],
            "'org/name' has one checkpoint to judge, which is no training: give several with --rev",
        ),
        ("org/name", ["stage1-step5", "stage2-step5"], "'stage1-step5' and 'stage2-step5' name one step, as stages of"),
    ],
)
def test_trainings_that_cannot_be_followed(name: str, wanted: list[str] | None, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        models(name, wanted, 8)
    assert str(raised.value).startswith(message)


def test_named_revisions_are_taken_as_they_are() -> None:
    refs, known = models("org/name", ["step500", "step20"], 1)
    assert [ref.name for ref in refs] == ["org/name@step20", "org/name@step500"]
    assert known == 2


def test_the_command_follows_claims_over_a_training(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "files", lambda _: installed)
    output = tmp_path / "along"
    arguments = ["trajectory", "tiny-scratch", "--points", "3", "--tokens", "400"]
    assert main([*arguments, "--cache", str(tmp_path / "cache"), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "router-norm [total]: " in said
    document = results.read(output / "results.json")
    assert [model["name"] for model in document["models"]] == [f"tiny-scratch@step{step}" for step in (1, 4, 8)]
    assert [bool(model["note"]) for model in document["models"]] == [True, True, False]
    controlled = {row["model"] for row in document["results"] if row["controls"]}
    assert controlled == {"tiny-scratch@step8"}
    page = (output / "trajectory.md").read_text()
    assert page == trajectory.render(document, "tiny-scratch", 4, "trajectory.png")
    assert "- Points: 3 of 4 known checkpoints, at steps 1, 4, 8" in page
    assert "low precision" in page
    assert (output / "trajectory.png").read_bytes().startswith(b"\x89PNG")


def test_claims_of_another_pack_are_followed_where_it_is_asked_for(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = Pack("theirs", "Another Paper", "a made-up place", (LIVE["neuron-experts"],))
    monkeypatch.setattr(embedded, "files", lambda _: installed)
    monkeypatch.setattr(session, "chosen", lambda names: (theirs,) if names == ("theirs",) else ())
    arguments = ["trajectory", "tiny-scratch", "--points", "2", "--cache", str(tmp_path / "cache")]
    assert main([*arguments, "--pack", "theirs", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("neuron-experts: ")
    document = results.read(tmp_path / "results.json")
    assert [pack["title"] for pack in document["packs"]] == ["Another Paper"]
    assert {row["claim"] for row in document["results"]} == {"theirs/neuron-experts"}


def test_a_checkpoint_that_cannot_be_read_loses_none_of_the_others(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "broken"
    shutil.copytree(installed, place)
    monkeypatch.setattr(embedded, "files", lambda _: place)
    shutil.copytree(place / "models" / "tiny-scratch", place / "models" / "tiny-dense", dirs_exist_ok=True)
    point = embedded.point_file(place / "models" / "tiny-scratch", 1)
    point.write_bytes(point.read_bytes()[:-5])
    output = tmp_path / "along"
    arguments = ["trajectory", "tiny-scratch", "--revisions", "step1,step8", "--tokens", "400"]
    assert main([*arguments, "--cache", str(tmp_path / "cache"), "--output", str(output)]) == 0
    document = results.read(output / "results.json")
    assert [model["name"] for model in document["models"]] == ["tiny-scratch@step8"]
    assert "does not belong to this model's training" in (output / "trajectory.md").read_text()
    last = embedded.embedded_directory("tiny-scratch") / "model.safetensors"
    last.write_bytes(last.read_bytes()[:-5])
    assert main([*arguments, "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "none")]) == 4
    assert not (tmp_path / "none").exists()


def test_a_missing_matplotlib_is_said_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.setattr("moe_claims.run.trajectory.results_of", None)
    assert main(["trajectory", "tiny-scratch"]) == 4
    assert capsys.readouterr().err == f"error: figures need matplotlib, which is not installed: {install_command()}\n"


@pytest.mark.parametrize("points", ["1", "0", "-3"])
def test_too_few_points_are_refused(points: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trajectory", "tiny-scratch", "--points", points]) == 4
    assert capsys.readouterr().err == f"error: --points {points}: give a whole number, 2 or more\n"
