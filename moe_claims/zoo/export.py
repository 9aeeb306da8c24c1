"""Writes the files of a trained model that ship: weights in bfloat16 and hub layout, model card, hashes."""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from moe_claims.zoo.recipes import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGEST = 13_000_000
"""Largest size in bytes of the weights of an embedded model."""


def bits_per_byte(nats_per_token: float, tokens: int, utf8_bytes: int) -> float:
    """Converts cross-entropy per token to bits per byte of UTF-8 text, which is comparable between tokenizers."""
    return nats_per_token * tokens / utf8_bytes / math.log(2)


def export(model: "PreTrainedModel", recipe: Recipe, work: Path, target: Path, scores: Mapping[str, Any]) -> None:
    """Writes the model's folder: weights, config, tokenizer, ``recipe.json`` and a card.

    Args:
        model: the trained model; its weights are rounded to bfloat16 in place.
        recipe: the recipe that it was trained with.
        work: folder of the token streams, which holds the tokenizer.
        target: folder to write to; existing files are replaced.
        scores: losses on held-out text and facts about the training, for the card and ``recipe.json``.

    Raises:
        ValueError: the weights take more than ``LARGEST`` bytes.
    """
    import torch

    target.mkdir(parents=True, exist_ok=True)
    # In the original format, transformers splits its fused experts into one matrix per expert, as on the hub.
    rounded: Any = model
    rounded.to(torch.bfloat16).save_pretrained(target, save_original_format=True)
    (target / "generation_config.json").unlink(missing_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(work / "tokenizer" / name, target / name)
    weights = target / "model.safetensors"
    weights.chmod(0o644)  # safetensors makes it readable for its owner only
    if weights.stat().st_size > LARGEST:
        raise ValueError(f"{weights.name} takes {weights.stat().st_size:,} bytes, more than {LARGEST:,}")
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (weights, target / "config.json", target / "tokenizer.json")
    }
    record = {"recipe": recipe.as_dict(), "scores": dict(scores), "sha256": hashes}
    (target / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")
    (target / "README.md").write_text(card(recipe, scores, hashes))


def card(recipe: Recipe, scores: Mapping[str, Any], hashes: Mapping[str, str]) -> str:
    """The model card in Markdown."""
    names = {"unigram": "unigram frequencies", "trigram": "interpolated trigram", "fivegram": "interpolated 5-gram"}
    rows = "\n".join(
        f"| {name} | {scores[f'{key}_nats']:.3f} | {scores[f'{key}_bits_per_byte']:.3f} |"
        for key, name in {**names, "model": recipe.name}.items()
    )
    files = "\n".join(f"- `{name}`: `{digest}`" for name, digest in hashes.items())
    items = {
        "Shape": f"{_shape(recipe)}; {scores['parameters']:,} parameters, bfloat16, in the original hub layout",
        "Trained on": f"{scores['training_text']} ({scores['training_tokens_available']:,} tokens after markup was "
        f"removed; {scores['training_tokens_seen']:,} were drawn), by windows of {recipe.sequence} tokens, "
        f"{recipe.batch} a step, {recipe.steps:,} steps, peak learning rate {recipe.learning_rate:g}, "
        f"seed {recipe.seed}",
        "Tokenizer": f"byte-level BPE of {recipe.vocabulary:,} entries, trained on the same text",
        "Load balance": _balance(recipe),
        "Began as": _start(recipe, scores),
    }
    facts = "\n".join(
        fill(f"- **{name}**: {text}", 120, subsequent_indent="  ", break_on_hyphens=False)
        for name, text in items.items()
        if text
    )
    intro = (
        f"A small {_kind(recipe)} of the {recipe.family} family, {_origin(recipe)}, so that claims about MoE internals "
        "can be tested offline on a model that has learned something. It is an object of measurement, not a text "
        "generator."
    )
    held_out = (
        f"Every hundredth document was held out: {scores['held_out_tokens']:,} tokens, on which all predictors are "
        "scored. The n-grams look at that many tokens of the same tokenizer and count the whole training text, more "
        "than the model saw."
    )
    again = (
        f"Deterministic for one version of torch ({scores['torch']}), one number of threads ({scores['threads']}) and "
        "one kind of processor; an interrupted run goes on where it was. `recipe.json` has every number."
    )
    return f"""# {recipe.name}

{fill(intro, 120)}

{facts}

## Held-out text

{fill(held_out, 120)}

| predictor | nats per token | bits per byte |
|---|---|---|
{rows}

## Make it again

```
python -m moe_claims.zoo train {recipe.name} --text {scores["training_text"]}
```

{fill(again, 120)}

## Hashes (SHA-256)

{files}
"""


def _start(recipe: Recipe, scores: Mapping[str, Any]) -> str:
    if recipe.upcycled_from is None:
        return ""
    return f"{recipe.upcycled_from}, weights SHA-256 `{scores['started_from_sha256']}`"


def _kind(recipe: Recipe) -> str:
    return "mixture-of-experts language model" if recipe.balance else "dense language model"


def _origin(recipe: Recipe) -> str:
    if recipe.upcycled_from is None:
        return "trained from scratch"
    return f"upcycled from {recipe.upcycled_from} (every expert began as a copy of its dense block) and trained on"


def _shape(recipe: Recipe) -> str:
    given = recipe.settings
    parts = [f"{given['num_hidden_layers']} layers, hidden {given['hidden_size']}"]
    if recipe.balance:
        experts = given.get("num_local_experts") or given.get("num_experts") or given.get("n_routed_experts")
        width = given.get("moe_intermediate_size") or given["intermediate_size"]
        parts.append(f"{experts} experts, top-{given['num_experts_per_tok']}, intermediate {width}")
        if "n_shared_experts" in given:
            parts.append(f"{given['n_shared_experts']} shared experts")
        if "first_k_dense_replace" in given:
            parts.append(f"dense layers before layer {given['first_k_dense_replace']}")
    else:
        parts.append(f"intermediate {given['intermediate_size']}")
    return ", ".join(parts)


def _balance(recipe: Recipe) -> str:
    if not recipe.balance:
        return "none, there are no experts"
    return f"each layer's loss of balance (Fedus et al. 2022) with weight {recipe.balance:g}"
