"""Trains one recipe. Training is deterministic and can be resumed; no pickle files are written."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from moe_claims._util.progress import track
from moe_claims.errors import UsageError
from moe_claims.zoo.recipes import Recipe
from moe_claims.zoo.tokens import TokenStream

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SAVE_EVERY = 200
"""Number of steps between saved states; a killed run repeats at most this many."""


def new_model(recipe: Recipe) -> "PreTrainedModel":
    """The recipe's model with random weights from its seed, float32 on the CPU."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from moe_claims.models.families import own

    own.register()
    torch.manual_seed(recipe.seed)
    config = AutoConfig.for_model(recipe.family, **recipe.settings)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    if recipe.balance:
        # On a CPU, this kernel is about eighty times as fast as transformers' batched one.
        model.set_experts_implementation("grouped_mm")
    return model


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of a step: linear warm-up, then a cosine from the peak to a tenth of it."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def batch(recipe: Recipe, stream: TokenStream, step: int) -> "torch.Tensor":
    """The token ids of one step, (batch, sequence). Each sequence is ``<s>`` and a random window of the stream.

    They depend only on the seed and the step, so that a resumed run needs no random state.
    """
    import torch

    rng = np.random.default_rng((recipe.seed, step))
    starts = rng.integers(0, len(stream.ids) - recipe.sequence, size=recipe.batch)
    windows = stream.ids[starts[:, None] + np.arange(recipe.sequence - 1)].astype(np.int64)
    return torch.from_numpy(np.concatenate([np.zeros((recipe.batch, 1), np.int64), windows], axis=1))


@final
class State:
    """Saves and loads the state of a run: weights, optimizer moments, step, and what the run was made of.

    Args:
        folder: folder of the run.
        made_of: result of the function ``made_of``: inputs that the run depends on.
    """

    def __init__(self, folder: Path, made_of: Mapping[str, Any]) -> None:
        self.tensors = folder / "state.safetensors"
        self._made_of = json.dumps(made_of, sort_keys=True)

    def save(self, model: "PreTrainedModel", optimizer: "torch.optim.Optimizer", step: int) -> None:
        from safetensors.torch import save_file

        tensors: dict[str, Any] = {}
        for name, parameter in model.named_parameters():
            moments = optimizer.state[parameter]
            tensors[f"weight/{name}"] = parameter.detach()
            tensors[f"mean/{name}"] = moments["exp_avg"]
            tensors[f"square/{name}"] = moments["exp_avg_sq"]
        partial = self.tensors.with_suffix(".partial")
        save_file(tensors, partial, metadata={"step": str(step), "made_of": self._made_of})
        partial.replace(self.tensors)

    def load(self, model: "PreTrainedModel", optimizer: "torch.optim.Optimizer") -> int:
        """Loads the saved state into model and optimizer; returns the number of finished steps, 0 without a state.

        Raises:
            UsageError: the state belongs to a run with another recipe, text or starting model.
        """
        import torch
        from safetensors import safe_open

        if not self.tensors.exists():
            return 0
        with safe_open(self.tensors, framework="pt") as file:
            metadata = file.metadata()
            if metadata.get("made_of") != self._made_of:
                raise UsageError(
                    f"'{self.tensors}' is the state of a run of another recipe, text or start: remove it to begin "
                    "anew, or give another --work"
                )
            step = int(metadata["step"])
            for name, parameter in model.named_parameters():
                parameter.data.copy_(file.get_tensor(f"weight/{name}"))
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": file.get_tensor(f"mean/{name}"),
                    "exp_avg_sq": file.get_tensor(f"square/{name}"),
                }
        return step


def balance_loss(router_logits: Sequence["torch.Tensor"], top_k: int) -> "torch.Tensor":
    """Load-balancing loss, summed over layers; a layer whose experts are used evenly contributes 1.

    For each layer it is E Σ f P, where f is an expert's share of the choices and P its mean score (Fedus, Zoph and
    Shazeer 2022, equation 4, for k choices). The loss in transformers pools all layers, so that uneven layers can
    cancel each other.

    Args:
        router_logits: for each layer, (n, E).
        top_k: experts chosen per token.
    """
    import torch

    per_layer = []
    for logits in router_logits:
        scores = logits.float().softmax(dim=-1)
        chosen = scores.topk(top_k, dim=-1).indices
        share = torch.bincount(chosen.flatten(), minlength=scores.shape[-1]) / chosen.numel()
        per_layer.append(scores.shape[-1] * (share * scores.mean(dim=0)).sum())
    return torch.stack(per_layer).sum()


def language_loss(logits: "torch.Tensor", tokens: "torch.Tensor") -> "torch.Tensor":
    """Mean cross-entropy (nats) of the next token, from logits (b, t, V) and tokens (b, t)."""
    from torch.nn import functional

    return functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].flatten())


def made_of(recipe: Recipe, stream: TokenStream, start: "PreTrainedModel | None") -> dict[str, Any]:
    """What the results of a run depend on: the recipe, and hashes of its tokens and of its starting weights."""
    return {
        "recipe": recipe.as_dict(),
        "tokens_sha256": stream.sha256,
        "start_sha256": None if start is None else _digest(start),
    }


def _digest(model: "PreTrainedModel") -> str:
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
        digest.update(parameter.detach().contiguous().numpy().data)
    return digest.hexdigest()


def train(
    recipe: Recipe,
    stream: TokenStream,
    folder: Path,
    *,
    start: "PreTrainedModel | None" = None,
    until: int | None = None,
    say: Callable[[str], None] = print,
) -> "PreTrainedModel":
    """Trains a model, or continues a training, until ``until`` steps (default: all) are done.

    The losses of every step are appended to ``log.jsonl`` in ``folder``, and the weights at the recipe's points are
    saved in ``points/``.

    Args:
        recipe: what to train, and how.
        stream: training tokens, from which windows are drawn.
        folder: folder of the run; training continues from a state saved there.
        start: the model before its first step, trained in place (default: random weights from the recipe's seed).
        until: total number of steps after which to stop.
        say: called with a message if the run is resumed.

    Returns:
        The model after the last step, float32 on the CPU.

    Raises:
        UsageError: the folder holds the state of a run with another recipe, text or starting model.
    """
    import torch

    model = new_model(recipe) if start is None else start
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
        fused=True,
    )
    state = State(folder, made_of(recipe, stream, start))
    first = state.load(model, optimizer)
    last = recipe.steps if until is None else until
    if first:
        say(f"{recipe.name}: going on after step {first:,}")
    else:
        shutil.rmtree(folder / "points", ignore_errors=True)  # left by an earlier run
        if 0 in recipe.points:
            save_point(model, folder, 0)
    _forget_after(folder / "log.jsonl", first)
    began = time.monotonic()
    model.train()
    with (folder / "log.jsonl").open("a") as log:
        for step in track(range(first, last), f"training {recipe.name}", unit="steps"):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step)
            losses = _step(model, recipe, batch(recipe, stream, step))
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            entry = {"step": step, **losses, "gradient_norm": round(norm.item(), 4)}
            log.write(json.dumps({**entry, "seconds": round(time.monotonic() - began, 1)}) + "\n")
            log.flush()
            done = step + 1
            if done in recipe.points:
                save_point(model, folder, done)
            if done % SAVE_EVERY == 0 or done == last:
                state.save(model, optimizer, done)
    model.eval()
    return model


def _forget_after(log: Path, steps: int) -> None:
    """Cuts a log to its first ``steps`` lines; later steps were not saved and will be repeated."""
    if log.exists():
        partial = log.with_suffix(".partial")
        partial.write_text("".join(f"{line}\n" for line in log.read_text().splitlines()[:steps]))
        partial.replace(log)


def _step(model: "PreTrainedModel", recipe: Recipe, tokens: "torch.Tensor") -> dict[str, float]:
    """One forward and backward pass; adds gradients to the parameters and returns the losses."""
    call: Any = model
    if not recipe.balance:
        loss = language_loss(call(input_ids=tokens, use_cache=False).logits, tokens)
        loss.backward()
        return {"loss": round(loss.item(), 5)}
    output = call(input_ids=tokens, use_cache=False, output_router_logits=True)
    loss = language_loss(output.logits, tokens)
    balance = balance_loss(output.router_logits, model.config.num_experts_per_tok)
    (loss + recipe.balance * balance).backward()
    return {"loss": round(loss.item(), 5), "balance": round(balance.item() / len(output.router_logits), 5)}


def save_point(model: "PreTrainedModel", folder: Path, step: int) -> None:
    """Saves the weights after a step, float32, in ``points/`` of a run's folder."""
    from safetensors.torch import save_file

    path = folder / "points" / f"step{step}.safetensors"
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({name: parameter.detach() for name, parameter in model.named_parameters()}, partial)
    partial.replace(path)


def held_out_nats(model: "PreTrainedModel", stream: TokenStream, sequence: int, *, tokens: int | None = None) -> float:
    """Mean cross-entropy (nats per token) on held-out text, or on its first ``tokens`` tokens.

    The stream is cut into windows of ``sequence - 1`` tokens, each after its own ``<s>``,
    and every token of a window is predicted.
    """
    import torch

    ids = torch.from_numpy(stream.ids[:tokens].astype(np.int64))
    windows = ids[: len(ids) // (sequence - 1) * (sequence - 1)].view(-1, sequence - 1)
    windows = torch.cat([torch.zeros(len(windows), 1, dtype=torch.long), windows], dim=1)
    total = 0.0
    with torch.inference_mode():
        for part in track(windows.split(16), "held-out loss", unit="batches"):
            logits = model(input_ids=part, use_cache=False).logits[:, :-1].float()
            total += torch.nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]), part[:, 1:].reshape(-1), reduction="sum"
            ).item()
    return float(total / (windows.shape[0] * (sequence - 1)))
