"""``python -m moe_claims.zoo train NAME --text FILE``: trains an embedded model and writes its files."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_claims.errors import MoeClaimsError
from moe_claims.models.names import EMBEDDED
from moe_claims.zoo.recipes import RECIPES, Recipe, recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0, or 4 with one line on standard error where something is wrong with the input."""
    parser = argparse.ArgumentParser(prog="python -m moe_claims.zoo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train a model of the zoo, or go on with an interrupted run")
    train.add_argument("name", help=f"one of {', '.join(RECIPES)}")
    train.add_argument("--text", type=Path, required=True, help="any UTF-8 text, plain or .gz; Wikipedia dumps too")
    train.add_argument("--work", type=Path, help="folder of the run's state (default training/NAME)")
    train.add_argument("--output", type=Path, help="folder of the finished model (default: inside --work)")
    train.add_argument("--steps", type=int, help="stop after this many steps; nothing is exported")
    train.add_argument("--longest", type=int, help="read at most this many characters of the text")
    commands.add_parser("list", help="list the models of the zoo")
    given = parser.parse_args(arguments)
    try:
        if given.command == "list":
            for name in EMBEDDED:
                print(name)
            return 0
        chosen = recipe(given.name)
        work = given.work or Path("training") / chosen.name
        return _train(chosen, given.text, work, given.output or work / "model", given.steps, given.longest)
    except MoeClaimsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4


def _train(chosen: Recipe, text: Path, work: Path, output: Path, steps: int | None, longest: int | None) -> int:
    from moe_claims.zoo.export import export
    from moe_claims.zoo.tokens import prepare
    from moe_claims.zoo.train import train

    training, held_out = prepare(chosen, text, work, longest=longest)
    print(f"{chosen.name}: {len(training.ids):,} tokens to train on, {len(held_out.ids):,} held out")
    model = train(chosen, training, work, until=steps, say=print)
    if steps is not None and steps < chosen.steps:
        print(f"{chosen.name}: stopped after step {steps:,} of {chosen.steps:,}; the same command goes on")
        return 0
    scores = _scores(model, chosen, training, held_out, text.name)
    export(model, chosen, work, output, scores)
    print(
        f"{chosen.name}: {scores['model_bits_per_byte']:.3f} bits per byte on held-out text "
        f"(unigram {scores['unigram_bits_per_byte']:.3f}, trigram {scores['trigram_bits_per_byte']:.3f}); "
        f"written to {output}"
    )
    return 0


def _scores(model: Any, chosen: Recipe, training: Any, held_out: Any, text: str) -> dict[str, Any]:
    import numpy as np
    import torch

    from moe_claims.zoo import baselines
    from moe_claims.zoo.export import bits_per_byte
    from moe_claims.zoo.train import held_out_nats

    train_ids, test_ids = training.ids.astype(np.int64), held_out.ids.astype(np.int64)
    nats = {
        "unigram": baselines.unigram_nats(train_ids, test_ids, chosen.vocabulary),
        "trigram": baselines.trigram_nats(train_ids, test_ids, chosen.vocabulary),
        # Scored as it ships, rounded to bfloat16.
        "model": held_out_nats(_rounded(model), held_out, chosen.sequence),
    }
    scores: dict[str, Any] = {
        "training_text": text,
        "training_tokens_available": len(train_ids),
        "training_tokens_seen": chosen.steps * chosen.batch * (chosen.sequence - 1),
        "held_out_tokens": len(test_ids),
        "parameters": sum(p.numel() for p in model.parameters()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    for name, value in nats.items():
        scores[f"{name}_nats"] = value
        scores[f"{name}_bits_per_byte"] = bits_per_byte(value, len(test_ids), held_out.utf8_bytes)
    return scores


def _rounded(model: Any) -> Any:
    """The model with its weights rounded to bfloat16, still computing in float32."""
    import torch

    return model.to(torch.bfloat16).to(torch.float32)


if __name__ == "__main__":
    sys.exit(main())
