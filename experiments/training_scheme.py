"""Do experts copied from a dense model stay alike, and experts trained from scratch not? Trains small MoEs to find out.

The paper's conjecture (sections 4.1.1 and 4.1.2) from four finished models, made an experiment: per seed a dense model,
an MoE upcycled from it and an MoE from scratch. The two MoEs have the same shape, learning rates and windows of text in
the same order; only what they start from differs. At points along training: how alike experts are, and whether their
neurons keep one order.

    python experiments/training_scheme.py --text enwik8.gz --output training-scheme.json

An interrupted experiment goes on where it was when the command is given again.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import MoeClaimsError
from moe_claims.zoo.recipes import RECIPES, Recipe
from moe_claims.zoo.runs import Plan, made_on, parser, plan_of, run, run_all

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SMALLER = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 8, "num_attention_heads": 2}
_TRAINING: dict[str, Any] = {"sequence": 128, "batch": 16, "warmup": 50, "steps": 1000}
SCRATCH = replace(
    RECIPES["tiny-scratch"],
    name="scratch",
    settings={**RECIPES["tiny-scratch"].settings, **_SMALLER, "max_position_embeddings": 256},
    points=(0, 30, 60, 125, 250, 500, 1000),
    **_TRAINING,
)
DENSE = replace(
    RECIPES["tiny-dense"],
    name="dense",
    settings={**RECIPES["tiny-dense"].settings, **_SMALLER, "max_position_embeddings": 256},
    **_TRAINING,
)


@final
@dataclass(frozen=True)
class Job:
    """One seed: three models."""

    plan: Plan
    seed: int
    steps: int


def begin(dense: Recipe, sparse: Recipe, plan: Plan) -> "PreTrainedModel":
    """The upcycled model before its first step, from the last weights of the dense one."""
    from safetensors.torch import load_file

    from moe_claims.zoo.train import new_model
    from moe_claims.zoo.upcycling import upcycle

    trained, model = new_model(dense), new_model(sparse)
    trained.load_state_dict(load_file(plan.work / dense.name / "points" / f"step{dense.steps}.safetensors"))
    upcycle(trained, model)
    return model


def _followed(points: Sequence[int], model: "PreTrainedModel", folder: Path) -> dict[str, Any]:
    from moe_claims.zoo.similarity import over_training

    return {"points": over_training(model.config.to_dict(), folder / "points", points)}


def train_seed(job: Job) -> dict[str, Any]:
    """Trains the three models of one seed, one after the other."""

    def named(recipe: Recipe, name: str, **changes: Any) -> Recipe:
        points = (*(step for step in recipe.points if step < job.steps), job.steps)
        changed = replace(recipe, steps=job.steps, points=points, **changes)
        return replace(changed, name=f"training-scheme/seed{job.seed}-{name}")

    # The dense model sees other windows than the two MoEs, so that neither of these has read its text before.
    dense = named(DENSE, "dense", seed=1000 + job.seed)
    scratch, upcycled = (named(SCRATCH, name, seed=job.seed) for name in ("scratch", "upcycled"))
    followed = partial(_followed, scratch.points)
    found = {
        "dense": run(dense, job.plan),
        "scratch": run(scratch, job.plan, None, followed),
        "upcycled": run(upcycled, job.plan, partial(begin, dense, upcycled, job.plan), followed),
    }
    kept = ("parameters", "held_out_nats", "points")
    return {
        "seed": job.seed,
        **{name: {key: result[key] for key in kept if key in result} for name, result in found.items()},
    }


def zoo(work: Path) -> dict[str, Any] | None:
    """The same of the embedded models, if they were trained in this folder; else None."""
    from moe_claims.zoo.similarity import over_training

    names = {"scratch": "tiny-scratch", "upcycled": "tiny-upcycled"}
    if not all((work / name / "model").exists() for name in names.values()):
        return None
    return {
        scheme: {
            "model": name,
            # The embedded models are what people would train, and no controlled pair: their reader must know.
            "learning_rate": RECIPES[name].learning_rate,
            "seed": RECIPES[name].seed,
            "points": over_training(
                json.loads((work / name / "model" / "config.json").read_text()),
                work / name / "points",
                RECIPES[name].points,
            ),
        }
        for scheme, name in names.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the experiment and writes its results; 0, or 4 with one line where something is wrong with the input."""
    options = parser(str(__doc__), "training-scheme", SCRATCH.steps)
    given = options.parse_args(arguments)
    try:
        plan = plan_of(given, SCRATCH)
        jobs = [Job(plan, seed, given.steps) for seed in range(given.seeds)]
        seeds = run_all(train_seed, jobs, workers=given.workers)
        embedded = zoo(given.work)
    except MoeClaimsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    document = {
        "experiment": "training-scheme",
        "text": given.text.name,
        "recipes": {name: replace(r, steps=given.steps).as_dict() for name, r in (("dense", DENSE), ("moe", SCRATCH))},
        "made_on": made_on(),
        "seeds": seeds,
        "zoo": embedded,
    }
    given.output.write_text(json.dumps(document, indent=1) + "\n")
    without = "" if embedded else f"; the zoo's own models were not trained in '{given.work}' and are left out"
    print(f"{len(seeds)} seed(s){without}; written to {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
