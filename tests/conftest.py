"""Small seeded models, made once per session, and the plain transformers runs that they are held against."""

import os

# Before torch and huggingface_hub are imported by anyone: one thread per process, and no network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# Runs inside the tests are no steps of the workflow that runs the tests.
os.environ.pop("GITHUB_STEP_SUMMARY", None)

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import numpy as np
    import torch

    from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement
    from moe_claims.models.forward.layerwise import LayerwiseModel
    from moe_claims.types import NullDistribution

# Tests are no package, so that the file beside this one has no name to import it by.
_spec = importlib.util.spec_from_file_location("moe_claims_suite", Path(__file__).with_name("suite.py"))
assert _spec is not None and _spec.loader is not None
suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(suite)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(suite, "moe-claims-suite")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Before pytest-xdist reads its options, and before plugins are configured."""
    suite.choose_workers(config)


# The machines that run this are shared: how long an example takes says nothing about the code.
settings.register_profile("moe_claims", deadline=None)
settings.load_profile("moe_claims")


STRICT = os.environ.get("MOE_CLAIMS_NEWEST") == "strict"
"""Whether what a newer release of a dependency brings is a failure: in ``tox -e newest``, which asks for just that."""
_AHEAD = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
"""What dependencies say of releases to come, so that a new release says more of it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the package's own tests every warning is an error; users' runs of the claims are left alone.

    These tests must pass with every release that is allowed, next month's too: what only the newest can answer is
    asked in an environment of its own, and what releases say of later ones is shown, and an error there.
    """
    if not STRICT:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("newest")])
        items[:] = [item for item in items if not item.get_closest_marker("newest")]
    filters = ["error"] if STRICT else ["error", *(f"default::{kind}" for kind in _AHEAD)]
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(*filters), append=False)


@pytest.fixture(scope="session")
def newer_than_the_table() -> str:
    """What to say where transformers is newer than the table of families, and nobody asked about the newest."""
    return "" if STRICT else _other_release("newer", lambda installed, made_with: installed > made_with)


@pytest.fixture(scope="session")
def other_than_the_table(newer_than_the_table: str) -> str:
    """The same, also where transformers is older and so knows fewer families."""
    return newer_than_the_table or _other_release("older", lambda installed, made_with: installed < made_with)


def _other_release(how: str, is_other: Callable[[tuple[int, ...], tuple[int, ...]], bool]) -> str:
    import transformers
    from packaging.version import Version

    from moe_claims.models.families.listing import MADE_WITH

    installed, made_with = (Version(version).release[:2] for version in (transformers.__version__, MADE_WITH))
    if not is_other(installed, made_with):
        return ""
    return f"transformers {transformers.__version__} is {how} than the table of families, made with {MADE_WITH}"


@pytest.fixture(scope="session", autouse=True)
def _options_of_runs_inside() -> Iterator[None]:
    """Runs of pytest inside the tests take no options from outside, and import no hypothesis to print nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
        yield


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
def room_for_p() -> "Callable[[NullDistribution], tuple[float, float]]":
    """(null distribution) → the least and the largest p-value that its quantiles leave for what was observed."""

    def room(null: "NullDistribution") -> tuple[float, float]:
        # Values that are equal but for rounding tie, and decide nothing; a draw counts for 1/n.
        slack = 1e-9 * max(abs(value) for value in (*null.quantiles, null.observed))
        draw = 0.0 if null.draws is None else 1 / null.draws
        least, most = 0.0, 1.0
        for level, quantile in zip(null.levels, null.quantiles, strict=True):
            above, below = null.observed > quantile + slack, null.observed < quantile - slack
            tail = level
            if null.tail == "upper":
                tail, above, below = 1 - level, below, above
            if above:
                least = max(least, tail)
            if below:
                most = min(most, tail + draw)
        return least - 1e-9, most + 1e-9

    return room


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
    import shutil

    def copy(name: str, layout: str = "original") -> Path:
        return Path(shutil.copytree(saved(name, False, layout), tmp_path / "damaged"))

    return copy


@pytest.fixture(scope="session")
def grok(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fresh model of Grok-1's family, with the tokenizer of an embedded one."""
    import shutil

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


@pytest.fixture(scope="session")
def made_up_positions() -> "Callable[..., dict[str, Any]]":
    """Makes results of the dense-layer-position experiment, in the form that its script writes."""

    def make(
        curve: "Callable[[int], float]",
        noise: "Callable[..., np.ndarray]",
        *,
        seeds: int = 5,
        kinds: Sequence[str] = ("total", "activated"),
        places: Sequence[int] = (0, 2, 4, 6, 7),
    ) -> dict[str, Any]:
        """``curve`` says what a dense layer in a place costs; ``noise(size=n)`` what else a training adds."""
        runs = []
        for seed in range(seeds):
            own = 2.0 + float(noise(size=1)[0])
            jobs: list[tuple[int | None, str | None]] = [(None, None)]
            jobs += [(place, kind) for kind in kinds for place in places]
            for (place, kind), extra in zip(jobs, noise(size=len(jobs)), strict=True):
                loss = own + float(extra) + (0.0 if place is None else curve(place))
                width = None if place is None else {"total": 580, "activated": 134}.get(str(kind), 99)
                runs.append(
                    {"seed": seed, "position": place, "matched": kind, "dense_width": width, "parameters": 900_000,
                     "held_out_nats": loss, "training_nats": loss}
                )  # fmt: skip
        settings = {"num_hidden_layers": 8, "num_experts": 16}
        recipe = {"family": "qwen2_moe", "steps": 1000, "settings": settings}
        return {"experiment": "dense-layer-position", "layers": 8, "text": "a-text.gz", "recipe": recipe, "runs": runs}

    return make


@pytest.fixture(scope="session")
def made_up_schemes() -> "Callable[..., dict[str, Any]]":
    """Makes results of the training-scheme experiment, in the form that its script writes."""

    def make(
        apart: float,
        noise: "Callable[..., np.ndarray]",
        *,
        seeds: int = 5,
        zoo: bool = True,
        steps: Sequence[int] = (0, 30, 1000),
        scratch: float = 0.0,
    ) -> dict[str, Any]:
        """By ``apart`` upcycled experts are more alike, and more in order, than those from ``scratch``."""

        def points(level: float) -> list[dict[str, Any]]:
            return [
                {
                    "step": step,
                    **{
                        measured: {kind: (level + noise(size=8)).tolist() for kind in ("up", "act", "down")}
                        for measured in ("similarity", "order")
                    },
                }
                for step in steps
            ]

        def model(level: float) -> dict[str, Any]:
            own = level + float(noise(size=1)[0])
            return {"parameters": 700_000, "held_out_nats": 2.0 + float(noise(size=1)[0]), "points": points(own)}

        found = [{"seed": seed, "scratch": model(scratch), "upcycled": model(scratch + apart)} for seed in range(seeds)]
        recipe = {"family": "mixtral", "steps": 1000, "settings": {"num_hidden_layers": 8, "num_local_experts": 8}}
        pair = {
            "scratch": {"model": "tiny-scratch", "learning_rate": 4e-3, "seed": 0, "points": points(0.0)},
            "upcycled": {"model": "tiny-upcycled", "learning_rate": 1e-3, "seed": 1, "points": points(apart)},
        }
        return {
            "experiment": "training-scheme",
            "text": "a-text.gz",
            "recipes": {"moe": recipe},
            "seeds": found,
            "zoo": pair if zoo else None,
        }

    return make


# --- measurements made up: neutral in everything but what a test gives ---------------------------


@pytest.fixture(scope="session")
def made_up_routed() -> "Callable[..., RoutedMeasurement]":
    """(layers=8, sequences=12, tokens=20, experts=8, top_k=2, seed=0, **fields) → a measurement of noise.

    Router logits and norms are noise, the chosen experts follow the logits, similarities are level.
    Fields that are given replace what is made up, and ``chosen`` follows ``router_logits`` where it is not given.
    """

    import numpy as np

    from moe_claims.measure.measurement import RoutedMeasurement

    def make(
        layers: int = 8, sequences: int = 12, tokens: int = 20, experts: int = 8, top_k: int = 2, seed: int = 0,
        **fields: Any,
    ) -> RoutedMeasurement:  # fmt: skip
        rng = np.random.default_rng(seed)
        shape = (layers, sequences * tokens, experts)
        logits = fields.get("router_logits", rng.standard_normal(shape))
        alike = np.full((layers, sequences, experts, experts), 0.6 * tokens)
        alike[..., np.arange(experts), np.arange(experts)] = tokens
        made = {
            "layers": np.arange(layers),
            "lengths": np.full(sequences, tokens),
            "router_logits": logits,
            "output_norms": 1.0 + rng.random(shape),
            "chosen": np.argsort(-logits, axis=-1, kind="stable")[..., :top_k],
            "angular_sums": alike,
            "nats": np.full(sequences, 3.0),
            "chosen_similarity": np.full((layers, sequences, 2), 0.6 * tokens),
            "active_sums": np.full((layers, sequences, experts), 0.99 * tokens),
            "magnitude_sums": np.full((layers, sequences, experts), 0.5 * tokens),
            "index_sums": np.zeros((layers, sequences)),
            "index_shifted": np.zeros((layers, 12)),
        }
        return RoutedMeasurement(**{**made, **fields})

    return make


@pytest.fixture(scope="session")
def made_up_weights() -> "Callable[..., WeightMeasurement]":
    """(layers=8, experts=8, seed=0, **fields) → cosines of random rows, unrelated to each other, unless given.

    ``matrix`` and ``mean`` may be given in part: the roles that are left out are random.
    """

    import numpy as np

    from moe_claims.measure.measurement import WeightMeasurement

    def make(layers: int = 8, experts: int = 8, seed: int = 0, **fields: Any) -> WeightMeasurement:
        rng = np.random.default_rng(seed)

        def cosines() -> "np.ndarray[Any, Any]":
            rows = rng.standard_normal((layers, experts, 24))
            rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
            return rows @ rows.transpose(0, 2, 1)

        roles = ("up", "act", "down")
        return WeightMeasurement(
            np.arange(layers),
            fields.get("router", cosines()),
            {role: cosines() for role in roles} | dict(fields.get("matrix", {})),
            {role: cosines() for role in roles} | dict(fields.get("mean", {})),
        )

    return make


@pytest.fixture(scope="session")
def a_results_file() -> "Callable[..., dict[str, Any]]":
    """Makes a results document that follows the schema, of one model on one text unless told otherwise."""
    from moe_claims.packs.look_into_moes.pack import PACK
    from moe_claims.report import results
    from moe_claims.types import Interval, Result, Verdict

    def make(*rows: dict[str, Any], model: str = "a-model", **parts: Any) -> dict[str, Any]:
        """Each row names what is not as in the first lines below; ``parts`` take the place of whole parts."""
        settled = {
            "pack": "look_into_moes", "claim": "router-norm", "claim_version": 1, "variant": "total",
            "evidence": "live", "family": "headline", "model": model,
            "corpus": "builtin", "verdict": "replicated", "reason": "so it is", "effect_name": "mean Spearman ρ",
            "effect": 0.63, "interval": (0.60, 0.66), "smallest": 0.10, "p_value": 0.001, "p_adjusted": 0.002,
            "null": "labels permuted", "unit": "sequence", "n_units": 26,
        }  # fmt: skip
        made = []
        for changes in rows:
            row: dict[str, Any] = {**settled, **changes}
            ends, row["verdict"] = row["interval"], Verdict(row["verdict"])
            row["interval"] = None if ends is None else Interval(*ends, 0.95, "bootstrap over sequences")
            made.append(results.result_row(Result(**row)))
        card = {
            "name": model, "kind": "embedded", "hub_id": None, "revision_sha": None, "family": "mixtral",
            "moe_layers": 12, "total_layers": 12, "experts": 8, "top_k": 2, "hidden": 96, "intermediate": 96,
            "weights_sha256": "0" * 64, "note": None,
        }  # fmt: skip
        text = {
            "name": "builtin", "model": model, "text_sha256": "1" * 64, "token_ids_sha256": "2" * 64, "passages": 26,
            "sequences": 26, "tokens": 7174, "tokens_cut": 0, "nats_per_token": 4.03, "source": None,
            "revision_sha": None,
        }  # fmt: skip
        return results.document(
            **{
                "created": "2026-01-02T03:04:05+00:00",
                "environment": {"moe_claims": "0", "python": "3.11", "seed": 0},
                "packs": [PACK.described()],
                "models": [card],
                "corpora": [text],
                "results": made,
                "audits": [],
                "errors": [],
                "order": {},
                **parts,
            }
        )

    return make
