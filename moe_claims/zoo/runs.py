"""Many trainings for one question: each run in a folder of its own, resumable, several at a time."""

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
"""In a run's folder, once it is finished."""
HELD_OUT_TOKENS = 100_000
"""Of the held-out text, on which every run of an experiment is scored."""


@final
@dataclass(frozen=True)
class Plan:
    """Where the runs of an experiment find their text and leave their state."""

    text: Path
    work: Path
    """Folder of all runs; tokens lie in it too, shared with other runs of the same vocabulary."""
    longest: int | None = None
    """Read at most this many characters of the text."""


def run(
    recipe: Recipe,
    plan: Plan,
    start: "Callable[[], PreTrainedModel] | None" = None,
    further: "Callable[[PreTrainedModel, Path], dict[str, Any]] | None" = None,
) -> dict[str, Any]:
    """Trains one recipe to its end, or reads what an earlier call found.

    Args:
        recipe: its name is the name of the run's folder.
        plan: text and folders.
        start: makes the model before its first step (default: fresh from the recipe's seed).
        further: what else is to be found out about the trained model, from it and the run's folder.

    Returns:
        Loss on held-out text and in the last 100 steps (nats per token), parameters, and what was found ``further``.

    Raises:
        UsageError: the folder holds a run of another recipe, text or start.
    """
    import torch
    from filelock import FileLock

    torch.set_num_threads(1)  # so that the numbers do not depend on how many runs go side by side
    folder = plan.work / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    training, held_out = prepare(recipe, plan.text, plan.work / f"tokens-{recipe.vocabulary}", longest=plan.longest)
    began = None if start is None else start()
    with FileLock(folder / "run.lock"):  # one that outlived a killed experiment is waited for
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
        (folder / "state.safetensors").unlink(missing_ok=True)  # three times the weights, and the run is over
    return found


def parser(description: str, name: str, steps: int) -> argparse.ArgumentParser:
    """The options that every experiment has.

    Args:
        description: of the experiment; its first line is shown.
        name: of the experiment, and of its results file.
        steps: of each training, where the option does not say.
    """
    made = argparse.ArgumentParser(description=description.partition("\n")[0])
    made.add_argument("--text", type=Path, required=True, help="any UTF-8 text, plain or .gz; Wikipedia dumps too")
    made.add_argument("--work", type=Path, default=Path("training"), help="folder of the runs (default training)")
    made.add_argument("--output", type=Path, default=Path(f"{name}.json"), help="results file to write")
    made.add_argument("--seeds", type=int, default=5, help="the unit of chance (default 5)")
    made.add_argument("--steps", type=int, default=steps, help=f"of each training (default {steps})")
    made.add_argument("--workers", type=int, default=2, help="processes at a time (default 2)")
    made.add_argument("--longest", type=int, help="read at most this many characters of the text")
    return made


def plan_of(given: argparse.Namespace, recipe: Recipe) -> Plan:
    """The plan of those options, once the tokens are made: processes side by side need not each make them.

    Args:
        given: what ``parser`` found.
        recipe: whose vocabulary the tokens are of.

    Raises:
        UsageError: an option that makes no experiment.
        TextError: the text cannot be read, or is too short for the recipe.
    """
    check_positive(seeds=given.seeds, steps=given.steps, workers=given.workers)
    given.work.mkdir(parents=True, exist_ok=True)
    prepare(recipe, given.text, given.work / f"tokens-{recipe.vocabulary}", longest=given.longest)
    return Plan(given.text, given.work, given.longest)


def check_positive(**numbers: int) -> None:
    """Whether options are whole numbers of 1 or more.

    Raises:
        UsageError: the first that is not.
    """
    for name, number in numbers.items():
        if number < 1:
            raise UsageError(f"--{name} {number}: give a whole number, 1 or more")


def run_all(task: Callable[[Any], dict[str, Any]], jobs: Sequence[Any], *, workers: int) -> list[dict[str, Any]]:
    """``task(job)`` for every job in processes of their own, several at a time; in the order of the jobs.

    Both are sent to other processes: ``task`` is a function of a module.
    """
    # The bar of the whole is enough: those of single runs, side by side, would overwrite each other.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=set_quiet, initargs=(True,)) as pool:
        return list(track(pool.map(task, jobs), "training", unit="runs", total=len(jobs)))


def made_on() -> dict[str, str]:
    """What the numbers of a run depend on besides its recipe."""
    import torch
    import transformers

    return {
        "processor": platform.processor() or platform.machine(),
        "device": "cpu",
        "threads": "1",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
