"""``python -m moe_claims.zoo train NAME --text FILE``: trains an embedded model and writes its files."""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.models.embedded import embedded_directory
from moe_claims.zoo.recipes import RECIPES, Recipe, recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 4 after a one-line message on standard error if the input is invalid."""
    parser = argparse.ArgumentParser(prog="python -m moe_claims.zoo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train a model of the zoo, or go on with an interrupted run")
    train.add_argument("name", help=f"one of {', '.join(RECIPES)}")
    train.add_argument("--text", type=Path, required=True, help="any UTF-8 text, plain or .gz; Wikipedia dumps too")
    train.add_argument("--work", type=Path, default=Path("training"), help="folder of all runs (default training)")
    train.add_argument("--output", type=Path, help="folder of the finished model (default: WORK/NAME/model)")
    train.add_argument("--dense", type=Path, help="what an upcycled model starts from (default: the embedded one)")
    train.add_argument("--steps", type=int, help="stop after this many steps; nothing is exported")
    train.add_argument("--longest", type=int, help="read at most this many bytes of the text")
    train.add_argument("--threads", type=int, default=1, help="of torch; the numbers depend on it (default 1)")
    packing = commands.add_parser("pack", help="write the points along a finished training beside its exported model")
    packing.add_argument("name", help=f"one of {', '.join(name for name, recipe in RECIPES.items() if recipe.points)}")
    packing.add_argument("--work", type=Path, default=Path("training"), help="folder of all runs (default training)")
    packing.add_argument("--output", type=Path, help="folder of the exported model (default: WORK/NAME/model)")
    commands.add_parser("list", help="list the models of the zoo")
    given = parser.parse_args(arguments)
    try:
        if given.command == "list":
            print("\n".join(RECIPES))
        elif given.command == "pack":
            _pack(recipe(given.name), given)
        else:
            _train(recipe(given.name), given)
    except MoeClaimsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    return 0


def _train(chosen: Recipe, given: argparse.Namespace) -> None:
    import torch

    from moe_claims.zoo.export import export
    from moe_claims.zoo.runs import check_positive
    from moe_claims.zoo.tokens import prepare
    from moe_claims.zoo.train import train

    check_positive(threads=given.threads)
    if given.steps is not None and not 1 <= given.steps <= chosen.steps:
        raise UsageError(f"--steps {given.steps}: the recipe '{chosen.name}' has {chosen.steps:,}; give 1 to that many")
    torch.set_num_threads(given.threads)
    tokens, work = given.work / f"tokens-{chosen.vocabulary}", given.work / chosen.name
    work.mkdir(parents=True, exist_ok=True)
    training, held_out = prepare(chosen, given.text, tokens, longest=given.longest)
    print(f"{chosen.name}: {len(training.ids):,} tokens to train on, {len(held_out.ids):,} held out", flush=True)
    dense = _dense_of(chosen, given.dense)
    start = None if dense is None else _upcycled(chosen, dense)
    model = train(chosen, training, work, start=start, until=given.steps, say=print)
    if given.steps is not None and given.steps < chosen.steps:
        print(f"{chosen.name}: stopped after step {given.steps:,} of {chosen.steps:,}; the same command goes on")
        return
    scores = _scores(model, chosen, training, held_out, tokens, given.text.name)
    if dense is not None:
        scores["started_from_sha256"] = hashlib.sha256((dense / "model.safetensors").read_bytes()).hexdigest()
    output = given.output or work / "model"
    export(model, chosen, tokens, output, scores)
    print(
        f"{chosen.name}: {scores['model_bits_per_byte']:.3f} bits per byte on held-out text "
        f"(unigram {scores['unigram_bits_per_byte']:.3f}, trigram {scores['trigram_bits_per_byte']:.3f}); "
        f"written to {output}"
    )


def _pack(chosen: Recipe, given: argparse.Namespace) -> None:
    from moe_claims.zoo.points import pack

    work, output = given.work / chosen.name, given.output or given.work / chosen.name / "model"
    if not chosen.points:
        raise UsageError(f"the recipe '{chosen.name}' keeps no points along training")
    if not (output / "model.safetensors").exists():
        raise UsageError(f"there is no finished model in '{output}': train it to its end first")
    found = pack(chosen, work, output)
    print(
        f"{chosen.name}: {len(chosen.points) - 1} points in {found['bytes'] / 1e6:.1f} MB, "
        f"{found['bits_per_weight']:.2f} bits a weight, root-mean-square error {found['relative_error']:.1%}; "
        f"written to {output}"
    )


def _dense_of(chosen: Recipe, given: Path | None) -> Path | None:
    """Folder of the dense model that an upcycled model starts from; None for a model trained from scratch."""
    if chosen.upcycled_from is None:
        if given is not None:
            raise UsageError(f"--dense {given}: the recipe '{chosen.name}' trains from scratch; leave it out")
        return None
    folder = given or embedded_directory(chosen.upcycled_from)
    if not (folder / "model.safetensors").exists():
        raise UsageError(f"--dense {folder}: there is no model.safetensors in it; train '{chosen.upcycled_from}' first")
    return folder


def _upcycled(chosen: Recipe, dense: Path) -> Any:
    """An upcycled model before its first training step."""
    import torch
    from transformers import AutoModelForCausalLM

    from moe_claims.zoo.train import new_model
    from moe_claims.zoo.upcycling import upcycle

    sparse = new_model(chosen)
    try:
        upcycle(AutoModelForCausalLM.from_pretrained(dense, dtype=torch.float32, trust_remote_code=False), sparse)
    except (KeyError, RuntimeError) as error:
        raise UsageError(f"--dense {dense}: it does not have the shape of '{chosen.name}' ({error})") from None
    return sparse


def _scores(model: Any, chosen: Recipe, training: Any, held_out: Any, tokens: Path, text: str) -> dict[str, Any]:
    import torch

    from moe_claims.zoo.baselines import baselines
    from moe_claims.zoo.export import bits_per_byte
    from moe_claims.zoo.train import held_out_nats

    # The shipped model is rounded to bfloat16, so the scores are for rounded weights.
    nats = {
        **baselines(training, held_out, chosen.vocabulary, tokens),
        "model": held_out_nats(_rounded(model), held_out, chosen.sequence),
    }
    scores: dict[str, Any] = {
        "training_text": text,
        "training_tokens_available": len(training.ids),
        "training_tokens_seen": chosen.tokens_seen,
        "held_out_tokens": len(held_out.ids),
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    for name, value in nats.items():
        scores[f"{name}_nats"] = value
        scores[f"{name}_bits_per_byte"] = bits_per_byte(value, len(held_out.ids), held_out.utf8_bytes)
    return scores


def _rounded(model: Any) -> Any:
    """The model with its weights rounded to bfloat16; it computes in float32."""
    import torch

    return model.to(torch.bfloat16).to(torch.float32)


if __name__ == "__main__":
    sys.exit(main())
