"""Which checkpoints of a training are judged, and the command that judges them, on a training that was just made."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from moe_claims._util.optional import install_command
from moe_claims.commands.main import main
from moe_claims.errors import UsageError
from moe_claims.judge.pack import Pack
from moe_claims.models import embedded
from moe_claims.models.names import ModelRef
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.report import results, trajectory
from moe_claims.run import session
from moe_claims.run.trajectory import chosen, models, points_of, title_of
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


def test_steps_are_read_from_the_names_of_folders() -> None:
    names = {
        "./ckpt-10": 10, "ckpt_10/": 10, "step500": 500, "run/checkpoint-500": 500, "/a-7/b/global_step0020": 20,
        "epoch=3-step=40": 40, "step-7-final": 7, "12": 12, "C:\\runs\\ckpt-3": 3, "a@step5": 5, "./a@b/ckpt-1": None,
        "mixtral-8x7b": None, "a-7/best": None, "synthetic:null": None,
    }  # fmt: skip
    assert {name: trajectory.step_of_model(name) for name in names} == names


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


def test_a_device_that_is_not_there_is_said_before_a_model_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("moe_claims.run.trajectory.results_of", None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["trajectory", "tiny-scratch", "--device", "cuda:1"]) == 4
    assert capsys.readouterr().err.startswith("error: --moe-device cuda:1: this machine has no usable GPU ")


@pytest.mark.parametrize("points", ["1", "0", "-3"])
def test_too_few_points_are_refused(points: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trajectory", "tiny-scratch", "--points", points]) == 4
    assert capsys.readouterr().err == f"error: --points {points}: give a whole number, 2 or more\n"


# --- checkpoints in folders ------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes folders with a config.json alone, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "config.json").write_text("{}")
        return tmp_path

    return make


def named(refs: Sequence[ModelRef]) -> list[str]:
    assert {ref.kind for ref in refs} == {"directory"}
    return [ref.name for ref in refs]


def test_several_folders_are_taken_in_order_of_their_steps(folders: Callable[..., Path]) -> None:
    folders("ckpt-0", "ckpt-10", "ckpt-9", "step500", "run/checkpoint-70")
    refs, known = points_of(["./ckpt-10/", "step500", "./ckpt-9", "ckpt-0", "run/checkpoint-70"], None, 2)
    assert named(refs) == ["ckpt-0", "./ckpt-9", "./ckpt-10", "run/checkpoint-70", "step500"]
    assert known == 5


def test_a_folder_with_checkpoints_is_followed(folders: Callable[..., Path]) -> None:
    names = [f"run/checkpoint-{step}" for step in (500, 1000, 1500, 20_000)]
    place = folders(*names, "run", "run/best", "run/v")
    (place / "run" / "logs-3").mkdir()
    for written in ("run", "./run", "run/", str(place / "run")):
        refs, known = points_of([written], None, 8)
        assert named(refs) == [f"{written.rstrip('/')}/{name.removeprefix('run/')}" for name in names]
        assert known == 4
    refs, known = points_of(["run"], None, 3)
    assert [trajectory.step_of_model(ref.name) for ref in refs] == [500, 1500, 20_000]
    assert known == 4


@pytest.mark.parametrize(
    ("names", "revisions", "message"),
    [
        (["run/best", "a-0"], None, "'run/best' names no step: give checkpoints with a number, such as checkpoint-500"),
        (["a-0", "b-0"], None, "'a-0' and 'b-0' name one step, 0: give one of them"),
        (["twice"], None, "'twice/step-7' and 'twice/v-7' name one step, 7: give one of them"),
        (
            ["./a-0"],
            None,
            "'./a-0' has no checkpoints in it (checkpoint-500 and the like): a training needs several; name their "
            "folders, or the one that contains them",
        ),
        (
            ["one"],
            None,
            "'one' has one checkpoint in it, 'one/ckpt-1': a training needs several; name their folders, or the one "
            "that contains them",
        ),
        (["a-0", "a-0/"], None, "'a-0' is there twice: a training needs several checkpoints"),
        (["a-0", "c-1"], ["step1"], "--revisions step1: folders have none; name the folders of the checkpoints"),
        (["twice"], ["step1"], "--revisions step1: folders have none; name the folders of the checkpoints"),
        (["a-0", "./nowhere-1"], None, "there is no directory './nowhere-1': --model takes a folder with config.json "),
    ],
)
def test_folders_that_are_no_training(
    names: list[str], revisions: list[str] | None, message: str, folders: Callable[..., Path]
) -> None:
    folders("a-0", "b-0", "c-1", "run/best", "twice/step-7", "twice/v-7", "one/ckpt-1")
    with pytest.raises(UsageError) as raised:
        points_of(names, revisions, 8)
    assert str(raised.value).startswith(message) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (["tiny-scratch"], "tiny-scratch"),
        (["./run/"], "./run"),
        (["./ckpt-0", "./ckpt-10/"], "ckpt"),
        (["run/checkpoint-500", "run/checkpoint-1000"], "run"),
        (["a@step1", "a@step20"], "a"),
        (["org/name@step1", "org/name@step20"], "org/name"),
        (["a/ckpt-1", "b/ckpt-2"], "ckpt"),
        (["1", "20"], "1 to 20"),
        (["first-1", "second-2"], "first-1 to second-2"),
    ],
)
def test_the_title_is_what_the_names_have_in_common(names: list[str], title: str) -> None:
    assert title_of(names) == title


def test_the_title_of_the_working_directory_is_its_name(folders: Callable[..., Path]) -> None:
    assert title_of(["."]) == folders().name


@pytest.mark.campaign("long")
def test_the_command_follows_claims_over_folders_of_a_trainer(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for step, noise in ((500, 0.5), (1000, 0.0)):
        folder = tmp_path / "run" / f"checkpoint-{step}"
        shutil.copytree(installed / "models" / "tiny-scratch", folder, ignore=shutil.ignore_patterns("points"))
        weights = load_file(folder / "model.safetensors")
        generator = torch.Generator().manual_seed(step)
        for name, tensor in weights.items():
            weights[name] = tensor + noise * tensor.std() * torch.randn(tensor.shape, generator=generator).to(tensor)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
            (folder / name).write_bytes(b"\x80\x04N.")  # a trainer's own pickles, which nobody reads
    arguments = ["--tokens", "400", "--cache", str(tmp_path / "cache")]
    assert main(["trajectory", "./run", *arguments, "--output", "along"]) == 0
    assert "router-norm [total]: " in capsys.readouterr().out
    page = (tmp_path / "along" / "trajectory.md").read_text()
    assert page.startswith("# ./run along its training")
    assert "- Points: 2 of 2 known checkpoints, at steps 500, 1,000" in page
    assert (tmp_path / "along" / "trajectory.png").read_bytes().startswith(b"\x89PNG")
    by_name = ["run/checkpoint-1000/", "run/checkpoint-500/"]
    assert main(["trajectory", *by_name, *arguments, "--output", "again"]) == 0
    again = results.read(tmp_path / "again" / "results.json")
    assert [model["name"] for model in again["models"]] == ["run/checkpoint-500", "run/checkpoint-1000"]
    first = results.read(tmp_path / "along" / "results.json")
    effects = [[row["effect"]["value"] for row in document["results"]] for document in (first, again)]
    assert effects[0] == effects[1]
