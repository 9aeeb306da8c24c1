"""Does one dense layer hurt an MoE more the deeper it lies, save in the last place? Trains small MoEs to find out.

The paper's own experiment (Table 6, Figure 5, Table 7) at small scale, with seeds: per seed an all-MoE model, and
models in which one layer has a dense block instead of experts, at each of several positions. All models of a seed see
the same windows of text in the same order, and begin with the same weights wherever they have the same parts.

    python experiments/dense_layer_position.py --text enwik8.gz --output dense-layer-position.json

An interrupted experiment goes on where it was when the command is given again.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, final

from moe_claims.errors import MoeClaimsError
from moe_claims.zoo.recipes import Recipe
from moe_claims.zoo.runs import Plan, made_on, parser, plan_of, run, run_all

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Matched = Literal["total", "activated"]

POSITIONS = (0, 2, 4, 6, 7)
"""Of the dense layer among eight: first, last, and in between, as the paper's 1, 6, 12, 18 and 24 of 24."""
BASE = Recipe(
    name="all-moe",
    family="qwen2_moe",  # the paper's architecture (Table 7) is of this kind: routed and shared experts
    settings={
        "vocab_size": 512,
        "hidden_size": 64,
        "num_hidden_layers": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 256,
        "moe_intermediate_size": 32,
        "num_experts": 16,
        "num_experts_per_tok": 2,
        # As wide as the chosen experts together, as in the paper's model.
        "shared_expert_intermediate_size": 64,
        "norm_topk_prob": False,
        "mlp_only_layers": [],
        "bos_token_id": 0,
        "eos_token_id": 1,
    },
    sequence=128,
    batch=16,
    steps=1000,
    warmup=50,
    learning_rate=4e-3,
    weight_decay=0.1,
    balance=0.01,
    seed=0,
)


@final
@dataclass(frozen=True)
class Job:
    """One model to train."""

    plan: Plan
    seed: int
    position: int | None
    """Of the dense layer, from 0; None for the all-MoE model."""
    matched: Matched | None
    """Which count of parameters the dense block has in common with the layer that it replaces."""
    steps: int


def dense_width(settings: Mapping[str, int], matched: Matched) -> int:
    """Neurons of the dense block, so that its layer has as many parameters as the MoE layer, to half a neuron.

    ``total`` counts all experts, as the stated total of the paper's Table 7 does; ``activated`` those that one token
    goes through. Router and gate of the shared expert are counted too.
    """
    d, m = settings["hidden_size"], settings["moe_intermediate_size"]
    experts = settings["num_experts" if matched == "total" else "num_experts_per_tok"]
    routed, shared = 3 * d * m * experts, 3 * d * settings["shared_expert_intermediate_size"]
    gates = d * settings["num_experts"] + d
    return round((routed + shared + gates) / (3 * d))


def recipe_of(job: Job) -> Recipe:
    """The recipe of one model; its name says which."""
    settings: dict[str, Any] = dict(BASE.settings)
    place = "all-moe"
    if job.position is not None and job.matched is not None:
        settings |= {"mlp_only_layers": [job.position], "intermediate_size": dense_width(settings, job.matched)}
        place = f"dense-{job.position}-{job.matched}"
    name = f"dense-layer-position/seed{job.seed}-{place}"
    return replace(BASE, name=name, settings=settings, seed=job.seed, steps=job.steps)


def begin(recipe: Recipe) -> "PreTrainedModel":
    """The model before its first step: with the all-MoE model's weights of the same seed where both have them."""
    import torch

    from moe_claims.zoo.train import new_model

    model = new_model(recipe)
    reference = new_model(replace(recipe, settings={**recipe.settings, "mlp_only_layers": []})).state_dict()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in reference:
                parameter.copy_(reference[name])
    return model


def train_one(job: Job) -> dict[str, Any]:
    """Trains one model and says what came out."""
    recipe = recipe_of(job)
    found = run(recipe, job.plan, partial(begin, recipe))
    return {
        "seed": job.seed,
        "position": job.position,
        "matched": job.matched,
        "dense_width": recipe.settings.get("intermediate_size"),
        **{name: found[name] for name in ("parameters", "held_out_nats", "training_nats")},
    }


def jobs(plan: Plan, seeds: int, steps: int, matched: Sequence[Matched]) -> list[Job]:
    """All models, seed after seed, so that what is finished early is whole."""
    return [
        job
        for kind_first in (matched[:1], matched[1:])  # the first kind for all seeds before the others
        for seed in range(seeds)
        for job in (
            *([Job(plan, seed, None, None, steps)] if kind_first == matched[:1] else []),
            *(Job(plan, seed, position, kind, steps) for kind in kind_first for position in POSITIONS),
        )
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the experiment and writes its results; 0, or 4 with one line where something is wrong with the input."""
    options = parser(str(__doc__), "dense-layer-position", BASE.steps)
    options.add_argument(
        "--matched", choices=("total", "activated", "both"), default="both", help="parameters of the dense layer"
    )
    given = options.parse_args(arguments)
    kinds: tuple[Matched, ...] = ("total", "activated") if given.matched == "both" else (given.matched,)
    try:
        plan = plan_of(given, BASE)
        runs = run_all(train_one, jobs(plan, given.seeds, given.steps, kinds), workers=given.workers)
    except MoeClaimsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    document = {
        "experiment": "dense-layer-position",
        "layers": BASE.settings["num_hidden_layers"],
        "text": given.text.name,
        "recipe": replace(BASE, steps=given.steps).as_dict(),
        "made_on": made_on(),
        "runs": runs,
    }
    given.output.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{len(runs)} trainings; written to {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
