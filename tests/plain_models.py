"""Small seeded models, made once per session, and the plain transformers runs that they are held against."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import numpy as np
    import torch

    from moe_claims.models.forward.layerwise import LayerwiseModel

_SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "num_hidden_layers": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Numbers of experts and of chosen ones differ, so that no axis can be taken for another.
_TINY: dict[str, dict[str, Any]] = {
    "mixtral": {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {"model_type": "olmoe", "num_experts": 6, "num_experts_per_tok": 3},
    "qwen3_moe": {
        "model_type": "qwen3_moe",
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 10,
        "head_dim": 8,
        "norm_topk_prob": True,
    },
}
_TINY |= {
    "mixtral with a sliding window": {**_TINY["mixtral"], "sliding_window": 5},
    "mixtral without grouped heads": {**_TINY["mixtral"], "num_key_value_heads": 2, "hidden_act": "gelu"},
    "olmoe with clipped projections": {**_TINY["olmoe"], "clip_qkv": 0.8, "norm_topk_prob": True},
    "qwen3_moe with a dense layer": {**_TINY["qwen3_moe"], "num_hidden_layers": 3, "mlp_only_layers": [1]},
}


@pytest.fixture(scope="session")
def tiny_configs() -> Mapping[str, Mapping[str, Any]]:
    """Name → configuration of a tiny model; every family's plain case bears the name of its row."""
    return {name: {**_SIZES, **config} for name, config in _TINY.items()}


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, tiny_configs: Mapping[str, Any]) -> Callable[..., Path]:
    """(name, tied=False, layout=original|fused|original-sharded|fused-sharded) → folder written by transformers.

    All weights are drawn anew with unit gain: as transformers initialises them, experts
    hardly matter to the logits and norms are all ones, so that a wrong role could hide.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()

    @cache
    def model(name: str, tied: bool) -> Any:
        config = dict(tiny_configs[name])
        made = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(config.pop("model_type"), **config, tie_word_embeddings=tied), dtype=torch.float32
        )
        generator = torch.Generator().manual_seed(len(name) + tied)
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 1 + 0.3 * noise if parameter.dim() == 1 else noise / parameter.shape[-1] ** 0.5
            parameter.data.copy_(scale)
        return made

    @cache
    def save(name: str, tied: bool = False, layout: str = "original") -> Path:
        folder = tmp_path_factory.mktemp("saved")
        kept, _, sharded = layout.partition("-")
        size = {"max_shard_size": "6KB"} if sharded else {}
        model(name, tied).save_pretrained(folder, save_original_format=kept == "original", **size)
        return folder

    return save


@pytest.fixture(scope="session")
def sequences() -> list[tuple[int, ...]]:
    """Token ids of sequences that differ in length, so that micro-batches hold padding."""
    import numpy as np

    rng = np.random.default_rng(11)
    return [tuple(int(i) for i in rng.integers(3, 50, size)) for size in (9, 14, 2, 7, 14, 3, 11)]


@dataclass(frozen=True, eq=False)
class PlainLayer:
    """What one MoE layer did in an ordinary forward pass; every array over all tokens in order."""

    hidden: "torch.Tensor"
    """(T, d) input of router and experts."""
    logits: "torch.Tensor"
    """(T, E) what the model's own gate returned."""
    chosen: "torch.Tensor"
    """(T, k)."""
    outputs: "torch.Tensor"
    """(T, E, d) of all experts, from hidden states and weights."""
    activations: "torch.Tensor"
    """(T, E, m)."""


@dataclass(frozen=True, eq=False)
class PlainRun:
    """A model run by transformers alone, one sequence at a time and so without any padding."""

    logits: "list[torch.Tensor]"
    losses: "np.ndarray[Any, Any]"
    """(S,) what the model itself returns as its loss."""
    layers: dict[int, PlainLayer]


@pytest.fixture(scope="session")
def plain_run(saved: Callable[..., Path], sequences: Sequence[Sequence[int]]) -> Callable[..., PlainRun]:
    """(name, tied=False, dtype="float32") → the same model run by transformers with its eager experts."""

    @cache
    def run(name: str, tied: bool = False, dtype: str = "float32") -> PlainRun:
        import numpy as np
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(saved(name, tied), dtype=getattr(torch, dtype)).eval()
        model.set_experts_implementation("eager")
        seen: dict[int, list[tuple[torch.Tensor, ...]]] = {}

        def hook(layer: int) -> Callable[..., None]:
            def note(_: Any, inputs: tuple[torch.Tensor, ...], returned: tuple[torch.Tensor, ...]) -> None:
                logits, _, chosen = returned
                seen.setdefault(layer, []).append((inputs[0].reshape(-1, inputs[0].shape[-1]), logits, chosen))

            return note

        moe = {n: layer.mlp for n, layer in enumerate(model.model.layers) if hasattr(layer.mlp, "experts")}
        for number, block in moe.items():
            block.gate.register_forward_hook(hook(number))
        logits, losses = [], []
        with torch.no_grad():
            for sequence in sequences:
                ids = torch.tensor([sequence])
                output = model(input_ids=ids, labels=ids, use_cache=False)
                logits.append(output.logits[0])
                losses.append(float(output.loss))
        layers = {}
        for number, block in moe.items():
            hidden, gate, chosen = (torch.cat(parts) for parts in zip(*seen[number], strict=True))
            act, up = block.experts.gate_up_proj.detach().chunk(2, dim=1)
            gated = torch.einsum("td,emd->tem", hidden, act)
            activations = gated * torch.sigmoid(gated)
            inner = activations * torch.einsum("td,emd->tem", hidden, up)
            outputs = torch.einsum("tem,edm->ted", inner, block.experts.down_proj.detach())
            layers[number] = PlainLayer(hidden, gate, chosen, outputs, activations)
        return PlainRun(logits, np.asarray(losses), layers)

    return run


@pytest.fixture(scope="session")
def layerwise(saved: Callable[..., Path]) -> "Callable[..., LayerwiseModel]":
    """(name, tied=False, layout="original", dtype="float32") → a fresh model run layer by layer."""
    from moe_claims.models.checkpoint import Checkpoint
    from moe_claims.models.forward.layerwise import LayerwiseModel

    def make(name: str, tied: bool = False, layout: str = "original", dtype: str = "float32") -> LayerwiseModel:
        return LayerwiseModel(Checkpoint.open(saved(name, tied, layout), name), dtype=dtype)

    return make


@pytest.fixture(scope="session")
def weights_on_disk(saved: Callable[..., Path]) -> "Callable[..., dict[str, torch.Tensor]]":
    """(name, tied=False, layout="original") → every tensor of the files, by its name there."""
    from safetensors.torch import load_file

    def load(name: str, tied: bool = False, layout: str = "original") -> dict[str, Any]:
        files = sorted(saved(name, tied, layout).glob("*.safetensors"))
        return {key: tensor for file in files for key, tensor in load_file(file).items()}

    return load


@pytest.fixture(scope="session")
def config_of(saved: Callable[..., Path]) -> Callable[..., dict[str, Any]]:
    """(name, tied=False) → the parsed config.json, a fresh copy each time."""

    def read(name: str, tied: bool = False) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((saved(name, tied) / "config.json").read_text(encoding="utf-8"))
        return config

    return read


@pytest.fixture
def copied(tmp_path: Path, saved: Callable[..., Path]) -> Callable[..., Path]:
    """(name, layout="original") → a copy of a saved model that a test may damage."""

    def copy(name: str, layout: str = "original") -> Path:
        return Path(shutil.copytree(saved(name, False, layout), tmp_path / "damaged"))

    return copy


@pytest.fixture(scope="session")
def grok(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fresh model of Grok-1's family, with the tokenizer of an embedded one."""

    from safetensors.torch import save_file

    from moe_claims.models.embedded import embedded_directory
    from moe_claims.models.synthetic.random_init import initialise

    settings = {
        **_SIZES, "model_type": "grok-1", "vocab_size": 2048, "num_experts": 4, "num_experts_per_tok": 2,
        "embedding_multiplier_scale": 4.0, "output_multiplier_scale": 0.5, "attn_output_multiplier": 0.35,
        "max_attn_value": 30.0, "tie_word_embeddings": True,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("grok")
    weights = initialise(settings, seed=2)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings))
    shutil.copy(embedded_directory("tiny-scratch") / "tokenizer.json", folder)
    return folder
