"""Results of trainings: read as the scripts write them, and refused in one line where something is missing."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from moe_claims.errors import UsageError
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.packs.look_into_moes.trained.judging import EXPERIMENTS, judged_documents, judged_trainings
from moe_claims.packs.look_into_moes.trained.results import load
from moe_claims.zoo.runs import Plan

Document = dict[str, Any]


@pytest.fixture
def positions(made_up_positions: Callable[..., Document]) -> Document:
    return made_up_positions(lambda place: 0.01 * place, np.random.default_rng(0).normal)


@pytest.fixture
def schemes(made_up_schemes: Callable[..., Document]) -> Document:
    return made_up_schemes(0.5, np.random.default_rng(0).normal)


def written(folder: Path, document: Document, name: str | None = None) -> Path:
    (folder / f"{name or document['experiment']}.json").write_text(json.dumps(document))
    return folder


def refusal(folder: Path, name: str) -> str:
    with pytest.raises(UsageError) as caught:
        load(name, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_whole_is_read_as_it_is(tmp_path: Path, positions: Document, schemes: Document) -> None:
    for document in (positions, schemes, schemes | {"zoo": None}):
        assert load(document["experiment"], written(tmp_path, document)) == document


def test_the_results_in_the_package_are_whole_and_judged() -> None:
    judged = judged_trainings(PACK)
    rows = judged.results
    assert judged.broken == ()
    assert {row.claim for row in rows} == set(EXPERIMENTS)
    assert all(row.n_units is not None and row.n_units >= 3 for row in rows if row.effect is not None)


# --- what the scripts write ------------------------------------------------------------------------


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], ModuleType]:
    """Leaves out what a script trains: only what it makes of the results is run."""

    def without_training(script: ModuleType) -> ModuleType:
        layers = {kind: [0.1] * 8 for kind in ("up", "act", "down")}
        points = [{"step": step, "similarity": layers, "order": layers} for step in (0, 1000)]
        result = {"parameters": 9, "held_out_nats": 2.0, "training_nats": 2.0, "points": points}
        monkeypatch.setattr(script, "run", lambda *_: result)
        monkeypatch.setattr(script, "run_all", lambda task, jobs, workers: [task(job) for job in jobs])
        monkeypatch.setattr(script, "plan_of", lambda given, _: Plan(given.text, given.work, given.longest))
        monkeypatch.setattr(script, "made_on", dict)
        return script

    return without_training


@pytest.mark.parametrize("matched", ["both", "total"])
def test_results_of_the_position_script_are_read(
    position: ModuleType, untrained: Callable[[ModuleType], ModuleType], tmp_path: Path, matched: str
) -> None:
    output = tmp_path / "dense-layer-position.json"
    arguments = ["--text", "a.gz", "--seeds", "3", "--matched", matched, "--output", str(output)]
    assert untrained(position).main(arguments) == 0
    found = load("dense-layer-position", tmp_path)
    assert len(found["runs"]) == 3 * (11 if matched == "both" else 6)
    missing = UsageError("not made")
    judged = judged_documents(PACK, {"dense-layer-position": found, "training-scheme": missing}, 0.05)
    assert {row.model for row in judged.results} == {"8-layer qwen2_moe MoEs of 16 experts"}


def test_results_of_the_scheme_script_are_read(
    scheme: ModuleType, untrained: Callable[[ModuleType], ModuleType], tmp_path: Path
) -> None:
    output = tmp_path / "training-scheme.json"
    arguments = ["--text", "a.gz", "--seeds", "3", "--work", str(tmp_path), "--output", str(output)]
    assert untrained(scheme).main(arguments) == 0
    found = load("training-scheme", tmp_path)
    assert len(found["seeds"]) == 3
    missing = UsageError("not made")
    judged = judged_documents(PACK, {"dense-layer-position": missing, "training-scheme": found}, 0.05)
    assert {row.model for row in judged.results} == {"8-layer mixtral MoEs of 8 experts"}


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS.values())
def test_a_file_that_is_missing_or_no_results_names_the_command(name: str, tmp_path: Path) -> None:
    makes = (
        f"'python experiments/{name.replace('-', '_')}.py --text FILE --output {name}.json' in the repository makes it"
    )
    path = tmp_path / f"{name}.json"
    assert refusal(tmp_path, name) == f"there is no file '{path}' with results of trainings: {makes}"
    path.write_text('{"experiment"')
    assert refusal(tmp_path, name).startswith(f"'{path}' holds no results of trainings (Expecting")
    path.write_bytes(b"\xff")
    assert refusal(tmp_path, name).startswith(f"'{path}' holds no results of trainings (")
    for other in ("[]", "{}", '{"experiment": "another"}'):
        path.write_text(other)
        assert refusal(tmp_path, name) == f"'{path}' is not of the experiment '{name}': {makes} anew"
    path.unlink()
    path.mkdir()
    assert refusal(tmp_path, name) == f"'{path}' cannot be read (Is a directory): {makes}"


def _without(seed: int, position: int | None, matched: str | None) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["runs"] = [
            run
            for run in document["runs"]
            if (run["seed"], run["position"], run["matched"]) != (seed, position, matched)
        ]

    return change


def _in_run(**values: object) -> Callable[[Document], None]:
    """The third run is of seed 0, dense layer 2, total."""
    return lambda document: document["runs"][2].update(values)


BROKEN_POSITIONS: list[tuple[Callable[[Document], Any], str]] = [
    (_without(3, None, None), "lacks the all-MoE run of seed 3"),
    (_without(1, 4, "activated"), "lacks the run with dense layer 4 (activated) of seed 1"),
    (lambda d: d["runs"].append(d["runs"][2]), "has the run of seed 0, dense layer 2, total twice"),
    (_in_run(held_out_nats=float("nan")), "has no finite held_out_nats (seed 0, dense layer 2, total)"),
    (_in_run(held_out_nats=None), "has no finite held_out_nats (seed 0, dense layer 2, total)"),
    (_in_run(position=8), "has a run of seed 0 whose dense layer is 8 (total)"),
    (_in_run(position=None), "has a run of seed 0 whose dense layer is None (total)"),
    (_in_run(matched=None), "has a run of seed 0 whose dense layer is 2 (None)"),
    (_in_run(seed="0"), "has no whole number 'seed' where one belongs"),
    (_in_run(dense_width=None), "has no whole number 'dense_width' where one belongs"),
    (lambda d: d.update(runs=[]), "has no list of objects 'runs'"),
    (lambda d: d.update(runs=[3]), "has no list of objects 'runs'"),
    (lambda d: d.update(layers=2), "is of models of 2 layer(s), of which none is before the last but one"),
    (lambda d: d.pop("text"), "has no text 'text' where one belongs"),
    (lambda d: d.pop("recipe"), "has no object 'recipe' where one belongs"),
    (lambda d: d["recipe"]["settings"].pop("num_experts"), "does not say how many experts its models have"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN_POSITIONS, ids=[message for _, message in BROKEN_POSITIONS])
def test_positions_that_are_not_whole_are_refused(
    change: Callable[[Document], Any], message: str, positions: Document, tmp_path: Path
) -> None:
    document = deepcopy(positions)
    change(document)
    said = refusal(written(tmp_path, document, "dense-layer-position"), "dense-layer-position")
    assert said.startswith(f"'{tmp_path / 'dense-layer-position.json'}' {message}: 'python experiments/")
    assert said.endswith("makes it anew")


def _cut(document: Document) -> None:
    document["seeds"][1]["scratch"]["points"].pop()


BROKEN_SCHEMES: list[tuple[Callable[[Document], Any], str]] = [
    (lambda d: d["seeds"][1].pop("upcycled"), "has no object 'upcycled' where one belongs"),
    (lambda d: d["seeds"][1].update(seed=0), "has a seed twice"),
    (_cut, "follows its models at points along training that are not the same for all"),
    (lambda d: d["seeds"][0]["scratch"].update(points=d["seeds"][0]["scratch"]["points"][:1]), "has no two points"),
    (lambda d: d["seeds"][0]["scratch"]["points"].reverse(), "has no two points or more along training, in order"),
    (
        lambda d: d["seeds"][2]["upcycled"]["points"][1]["order"].update(act=[0.0, float("inf")]),
        "has no finite order of act at step 30 (seed 2, upcycled)",
    ),
    (
        lambda d: d["seeds"][2]["upcycled"]["points"][1]["order"]["act"].pop(),
        "has points of different numbers of layers (seed 2, upcycled)",
    ),
    (lambda d: d["seeds"][2]["upcycled"]["points"][1]["similarity"].pop("down"), "has no list 'down'"),
    (lambda d: d["seeds"][2]["scratch"].update(held_out_nats=True), "has no finite held_out_nats (seed 2, scratch)"),
    (lambda d: d["zoo"]["scratch"].pop("model"), "has no text 'model' where one belongs"),
    (lambda d: d.update(zoo=[]), "has no object 'zoo' where one belongs"),
    (lambda d: d.update(recipes={}), "has no object 'moe' where one belongs"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN_SCHEMES, ids=[message for _, message in BROKEN_SCHEMES])
def test_schemes_that_are_not_whole_are_refused(
    change: Callable[[Document], Any], message: str, schemes: Document, tmp_path: Path
) -> None:
    document = deepcopy(schemes)
    change(document)
    said = refusal(written(tmp_path, document, "training-scheme"), "training-scheme")
    assert said.startswith(f"'{tmp_path / 'training-scheme.json'}' {message}")
    assert said.endswith("makes it anew")
