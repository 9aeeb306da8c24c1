"""Runs the trainings of an experiment: each in its own folder, resumable, several in parallel."""

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from moe_claims._util.progress import set_quiet, track
from moe_claims.errors import UsageError
from moe_claims.zoo.recipes import Recipe
from moe_claims.zoo.tokens import prepare
from moe_claims.zoo.train import held_out_nats, made_of, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RESULT = "result.json"
"""Name of the file in a run's folder that holds the results of the finished run."""
HELD_OUT_TOKENS = 100_000
"""Number of held-out tokens that every run of an experiment is scored on."""


@final
@dataclass(frozen=True)
class Plan:
    """Text and folders of an experiment."""

    text: Path
    work: Path
    """Folder of all runs. It also holds the token streams, which runs with the same vocabulary share."""
    longest: int | None = None
    """Largest number of bytes of the text to read; None for all."""


def run(
    recipe: Recipe,
    plan: Plan,
    start: "Callable[[], PreTrainedModel] | None" = None,
    further: "Callable[[PreTrainedModel, Path], dict[str, Any]] | None" = None,
) -> dict[str, Any]:
    """Trains one recipe to its end, or reads the results if an earlier call has done so.

    Args:
        recipe: the recipe; its name is the name of the run's folder.
        plan: text and folders.
        start: function that creates the model before its first step (default: random weights from the recipe's seed).
        further: function that computes additional results from the trained model and the run's folder.

    Returns:
        Losses on held-out text and in the last 100 steps (nats per token), number of parameters, what the run was made
        of, and the results of ``further``.

    Raises:
        UsageError: the folder holds a run of another recipe, text or start.
    """
    import torch
    from filelock import FileLock

    torch.set_num_threads(1)  # so that results do not depend on how many runs are in parallel
    folder = plan.work / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    training, held_out = prepare(recipe, plan.text, plan.work / f"tokens-{recipe.vocabulary}", longest=plan.longest)
    began = None if start is None else start()
    with FileLock(folder / "run.lock"):  # a process of a killed experiment may still be running
        source = json.loads(json.dumps(made_of(recipe, training, began)))
        result = folder / RESULT
        if result.exists():
            loaded: dict[str, Any] = json.loads(result.read_text())
            if loaded["made_of"] != source:
                raise UsageError(
                    f"'{folder}' holds a finished run of another recipe, text or start: give another --work, or remove "
                    "it"
                )
            return loaded
        model = train(recipe, training, folder, start=began, say=lambda _: None)
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        found = {
            "made_of": source,
            "held_out_nats": held_out_nats(model, held_out, recipe.sequence, tokens=HELD_OUT_TOKENS),
            "training_nats": sum(entry["loss"] for entry in log[-100:]) / len(log[-100:]),
            "parameters": sum(p.numel() for p in model.parameters()),
            **({} if further is None else further(model, folder)),
        }
        partial = result.with_suffix(".partial")
        partial.write_text(json.dumps(found))
        partial.replace(result)
        (folder / "state.safetensors").unlink(
            missing_ok=True
        )  # not needed any more; it is three times as large as the weights
    return found


def parser(description: str, name: str, steps: int) -> argparse.ArgumentParser:
    """An argument parser with the options that all experiments share.

    Args:
        description: description of the experiment; its first line is shown in the help.
        name: name of the experiment and of its results file.
        steps: default number of steps of each training.
    """
    made = argparse.ArgumentParser(description=description.partition("\n")[0])
    made.add_argument("--text", type=Path, required=True, help="any UTF-8 text, plain or .gz; Wikipedia dumps too")
    made.add_argument("--work", type=Path, default=Path("training"), help="folder of the runs (default training)")
    made.add_argument("--output", type=Path, default=Path(f"{name}.json"), help="results file to write")
    made.add_argument("--seeds", type=int, default=5, help="the unit of chance (default 5)")
    made.add_argument("--steps", type=int, default=steps, help=f"of each training (default {steps})")
    made.add_argument("--workers", type=int, default=2, help="processes at a time (default 2)")
    made.add_argument("--longest", type=int, help="read at most this many bytes of the text")
    return made


def plan_of(given: argparse.Namespace, recipe: Recipe) -> Plan:
    """The plan for parsed options. Prepares the token streams, so that parallel runs need not do it.

    Args:
        given: options parsed by ``parser``.
        recipe: a recipe with the experiment's vocabulary.

    Raises:
        UsageError: an option has an invalid value.
        TextError: the text cannot be read, or is too short for the recipe.
    """
    check_positive(seeds=given.seeds, steps=given.steps, workers=given.workers)
    given.work.mkdir(parents=True, exist_ok=True)
    prepare(recipe, given.text, given.work / f"tokens-{recipe.vocabulary}", longest=given.longest)
    return Plan(given.text, given.work, given.longest)


def check_positive(**numbers: int) -> None:
    """Checks that options are 1 or more.

    Raises:
        UsageError: an option is less; the message names the first such option.
    """
    for name, number in numbers.items():
        if number < 1:
            raise UsageError(f"--{name} {number}: give a whole number, 1 or more")


def run_all(task: Callable[[Any], dict[str, Any]], jobs: Sequence[Any], *, workers: int) -> list[dict[str, Any]]:
    """Computes ``task(job)`` for every job in parallel processes; results are in the order of the jobs.

    Both ``task`` and the jobs are sent to other processes, so ``task`` must be a module-level function.
    """
    # Workers show no progress, since the bars of parallel runs would overwrite each other.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=set_quiet, initargs=(True,)) as pool:
        return list(track(pool.map(task, jobs), "training", unit="runs", total=len(jobs)))


def made_on() -> dict[str, str]:
    """Hardware and library versions that the results of a run depend on, besides its recipe."""
    import torch
    import transformers

    return {
        "processor": platform.processor() or platform.machine(),
        "device": "cpu",
        "threads": "1",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
