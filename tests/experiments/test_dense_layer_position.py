"""The experiment on the place of a dense layer: matched sizes, paired beginnings, whole and resumable runs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from moe_claims.errors import UsageError
from moe_claims.zoo.runs import Plan, run
from moe_claims.zoo.train import new_model

SCRIPT = Path(__file__).parents[2] / "experiments" / "dense_layer_position.py"


def parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("where", [0, 4, 7])
def test_parameters_are_matched_to_half_a_neuron(position: Any, where: int) -> None:
    base, plan = position.BASE, Plan(Path("t"), Path("w"))
    d, m = base.settings["hidden_size"], base.settings["moe_intermediate_size"]
    whole = new_model(base)
    idle = (base.settings["num_experts"] - base.settings["num_experts_per_tok"]) * 3 * d * m
    for matched, wanted in (("total", parameters(whole)), ("activated", parameters(whole) - idle)):
        recipe = position.recipe_of(position.Job(plan, 0, where, matched, 10))
        assert abs(parameters(new_model(recipe)) - wanted) <= 3 * d / 2
        assert recipe.settings["mlp_only_layers"] == [where]


def test_models_of_a_seed_begin_alike_where_they_have_the_same_parts(position: Any) -> None:
    plan = Plan(Path("t"), Path("w"))
    one, other = (
        position.begin(position.recipe_of(position.Job(plan, 3, p, "total", 10))).state_dict() for p in (2, None)
    )
    assert all(torch.equal(one[name], other[name]) for name in one.keys() & other.keys())
    assert {name for name in one if name not in other} == {
        f"model.layers.2.mlp.{part}_proj.weight" for part in ("gate", "up", "down")
    }
    another = position.begin(position.recipe_of(position.Job(plan, 4, None, None, 10))).state_dict()
    assert not torch.equal(other["lm_head.weight"], another["lm_head.weight"])


def test_seeds_are_whole_before_the_next_begins_and_names_are_unique(position: Any) -> None:
    plan = Plan(Path("t"), Path("w"))
    found = position.jobs(plan, 2, 10, ("total", "activated"))
    assert [(job.seed, job.matched) for job in found] == [
        *([(0, None)] + [(0, "total")] * 5 + [(1, None)] + [(1, "total")] * 5),
        *([(0, "activated")] * 5 + [(1, "activated")] * 5),
    ]
    assert len({position.recipe_of(job).name for job in found}) == len(found) == 22


@pytest.mark.campaign("long")
def test_the_command_writes_what_the_statistics_need_and_reads_back_finished_runs(
    position: Any,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def experiment(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(SCRIPT), "--text", str(text), "--work", "w", "--workers", "2", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = experiment("--seeds", "1", "--steps", "2", "--matched", "total")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "6 trainings; written to dense-layer-position.json\n"
    document = json.loads((tmp_path / "dense-layer-position.json").read_text())
    assert [(one["position"], one["matched"]) for one in document["runs"]] == [
        (None, None), *((p, "total") for p in (0, 2, 4, 6, 7)),
    ]  # fmt: skip
    assert all(0 < one["held_out_nats"] < 7 for one in document["runs"])
    assert document["layers"] == 8
    assert document["made_on"].keys() >= {"device", "torch", "transformers", "threads"}
    folder = tmp_path / "w" / "dense-layer-position" / "seed0-dense-4-total"
    before = (folder / "result.json").stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(position, "run_all", lambda task, jobs, workers: [task(job) for job in jobs])
    again = ["--text", str(text), "--work", "w", "--seeds", "1", "--steps", "2", "--matched", "total"]
    assert position.main(again) == 0
    assert (folder / "result.json").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "dense-layer-position.json").read_text())["runs"] == document["runs"]
    capsys.readouterr()
    assert position.main(["--text", "none.txt"]) == 4
    assert capsys.readouterr().err == "error: no training text at 'none.txt': give a text file with --text\n"


def test_a_run_of_another_recipe_or_text_is_neither_taken_for_this_one_nor_overwritten(
    position: Any, text: Path, tmp_path: Path
) -> None:
    recipe = replace(position.BASE, steps=1, settings={**position.BASE.settings, "num_hidden_layers": 1})
    plan = Plan(text, tmp_path)
    first = run(recipe, plan)
    assert run(recipe, plan) == first
    other = tmp_path / "other.txt"
    other.write_text(text.read_text().replace("cat", "dog"))
    expected = (
        rf"^'{tmp_path / recipe.name}' holds a finished run of another recipe, text or start: give another --work"
    )
    for asked, where in ((replace(recipe, steps=2), plan), (recipe, Plan(other, tmp_path))):
        with pytest.raises(UsageError, match=expected):
            run(asked, where)
    assert run(recipe, plan) == first


@pytest.mark.parametrize("option", ["--seeds", "--steps", "--workers"])
def test_options_that_make_no_experiment_are_refused(
    position: Any, option: str, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert position.main(["--text", str(text), "--work", str(tmp_path), option, "0"]) == 4
    assert capsys.readouterr().err == f"error: {option} 0: give a whole number, 1 or more\n"
