"""The replay, layer by layer, against an ordinary forward pass of transformers."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import FAMILIES
from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.batches import micro_batches, pad
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.storage.tensor_source import MemorySource

pytestmark = pytest.mark.numerics

PLAIN = ("mixtral", "olmoe", "qwen3_moe")
"""Families with cases of their own in conftest; all of them are in test_families."""
SPECIAL = (
    "mixtral with a sliding window",
    "mixtral without grouped heads",
    "olmoe with clipped projections",
    "qwen3_moe with a dense layer",
)
ROLE_TENSORS = {  # spelled out once more, apart from the family table
    "mixtral": ("model.layers.{}.block_sparse_moe.experts.{}.{}.weight", "w3", "w1", "w2"),
    "olmoe": ("model.layers.{}.mlp.experts.{}.{}.weight", "up_proj", "gate_proj", "down_proj"),
    "qwen3_moe": ("model.layers.{}.mlp.experts.{}.{}.weight", "up_proj", "gate_proj", "down_proj"),
}


class Recorder:
    """An observer that keeps all it is shown."""

    def __init__(self) -> None:
        self.batches: list[experts_kernel.ExpertBatch] = []

    def observe(self, batch: experts_kernel.ExpertBatch) -> None:
        self.batches.append(batch)

    def all(self, field: str) -> torch.Tensor:
        return torch.cat([getattr(batch, field) for batch in self.batches])


def _batches(sequences: Sequence[Sequence[int]], tokens: int = 30) -> list[Any]:
    return [pad(sequences, *bounds, "cpu") for bounds in micro_batches(sequences, tokens=tokens)]


def _observed(model: LayerwiseModel, batches: list[Any]) -> tuple[list[torch.Tensor], dict[int, Recorder]]:
    recorders: dict[int, Recorder] = {}

    def factory(layer: int, router: torch.Tensor) -> Recorder:
        assert router.shape == (model.checkpoint.experts, model.checkpoint.config["hidden_size"])
        return recorders.setdefault(layer, Recorder())

    return model.run(batches, factory), recorders


def _assert_parity(model: LayerwiseModel, hidden: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    """Within 1e-5 of the largest logit of each sequence."""
    assert len(hidden) == len(expected)
    for states, theirs in zip(hidden, expected, strict=True):
        ours = model.logits(states)
        assert ours.shape == theirs.shape
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


@pytest.mark.parametrize("observed", [False, True], ids=["unobserved", "observed"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("name", PLAIN)
def test_logits_are_those_of_transformers(
    name: str, tied: bool, observed: bool, layerwise: Any, plain_run: Any, sequences: Any
) -> None:
    batches = _batches(sequences)
    assert len(batches) > 2 and any(not batch.mask.all() for batch in batches)
    model = layerwise(name, tied)
    hidden = _observed(model, batches)[0] if observed else model.run(batches)
    _assert_parity(model, hidden, plain_run(name, tied).logits)


@pytest.mark.parametrize("name", SPECIAL)
def test_logits_of_other_configurations(name: str, layerwise: Any, plain_run: Any, sequences: Any) -> None:
    model = layerwise(name)
    hidden, _ = _observed(model, _batches(sequences))
    _assert_parity(model, hidden, plain_run(name).logits)


@pytest.mark.parametrize("layout", ["fused", "fused-sharded", "original-sharded"])
@pytest.mark.parametrize("name", PLAIN)
def test_logits_from_every_layout(name: str, layout: str, layerwise: Any, plain_run: Any, sequences: Any) -> None:
    model = layerwise(name, layout=layout)
    _assert_parity(model, model.run(_batches(sequences)), plain_run(name).logits)


@pytest.mark.parametrize("name", PLAIN)
def test_a_row_with_up_and_act_exchanged_would_be_seen(
    name: str, saved: Any, plain_run: Any, sequences: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The parity tests are worth something only if a wrong row breaks them.
    from dataclasses import replace

    row = FAMILIES[name]
    monkeypatch.setattr("moe_claims.models.families.table.FAMILIES", {name: replace(row, up=row.act, act=row.up)})
    model = LayerwiseModel(Checkpoint.open(saved(name), name))
    with pytest.raises(AssertionError):
        _assert_parity(model, model.run(_batches(sequences)), plain_run(name).logits)


@pytest.mark.parametrize("tokens", [1, 20, 10_000])
def test_results_do_not_depend_on_the_micro_batches(
    tokens: int, layerwise: Any, plain_run: Any, sequences: Any
) -> None:
    model = layerwise("mixtral")
    batches = _batches(sequences, tokens)
    assert len(batches) == {1: 7, 20: 6, 10_000: 1}[tokens]
    _assert_parity(model, model.run(batches), plain_run("mixtral").logits)


@pytest.mark.parametrize("name", [*PLAIN, "qwen3_moe with a dense layer"])
def test_observer_sees_every_real_token_once_in_order(
    name: str, layerwise: Any, plain_run: Any, sequences: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", 700)  # a handful of tokens at a time
    model, batches = layerwise(name), _batches(sequences)
    _, recorders = _observed(model, batches)
    real = torch.cat([batch.mask.reshape(-1) for batch in batches])
    plain = plain_run(name)
    assert tuple(recorders) == model.checkpoint.moe_layers == tuple(plain.layers)
    for layer, recorder in recorders.items():
        assert len(recorder.batches) > len(batches)
        hidden = recorder.all("hidden")
        assert len(hidden) == len(real)
        # Tokens of the ordinary run are in order and without padding: row by row they must be the same.
        np.testing.assert_allclose(hidden[real], plain.layers[layer].hidden, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(recorder.all("chosen")[real], plain.layers[layer].chosen)


def test_chunks_say_where_they_start(layerwise: Any, sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", 700)
    batches = _batches(sequences)
    _, recorders = _observed(layerwise("mixtral"), batches)
    starts = [(batch.start, len(batch.hidden)) for batch in recorders[0].batches]
    expected = [
        (start, min(6, batch.ids.numel() - start)) for batch in batches for start in range(0, batch.ids.numel(), 6)
    ]
    assert starts == expected


@pytest.mark.parametrize("name", PLAIN)
def test_expert_outputs_are_those_of_the_weights_by_role(
    name: str, layerwise: Any, weights_on_disk: Any, sequences: Any
) -> None:
    model = layerwise(name)
    _, recorders = _observed(model, _batches(sequences))
    stored = weights_on_disk(name)
    tensor, *roles = ROLE_TENSORS[name]
    for layer, recorder in recorders.items():
        hidden = recorder.all("hidden").double().numpy()
        assert recorder.all("outputs").shape[1] == model.checkpoint.experts
        for expert in range(model.checkpoint.experts):
            up, act, down = (stored[tensor.format(layer, expert, role)].double().numpy() for role in roles)
            gate = hidden @ act.T
            activation = gate / (1 + np.exp(-gate))
            output = (activation * (hidden @ up.T)) @ down.T
            np.testing.assert_allclose(recorder.all("outputs")[:, expert], output, rtol=1e-4, atol=3e-6)
            np.testing.assert_allclose(recorder.all("activations")[:, expert], activation, rtol=1e-4, atol=3e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_recomputed_router_logits_are_the_gates(name: str, layerwise: Any, plain_run: Any, sequences: Any) -> None:
    model, batches = layerwise(name), _batches(sequences)
    _, recorders = _observed(model, batches)
    real = torch.cat([batch.mask.reshape(-1) for batch in batches])
    for layer, recorder in recorders.items():
        logits = recorder.all("hidden")[real] @ model.checkpoint.router(layer).T
        np.testing.assert_allclose(logits, plain_run(name).layers[layer].logits, rtol=1e-4, atol=1e-5)


def test_a_model_runs_again_and_forgets_its_observers(layerwise: Any, plain_run: Any, sequences: Any) -> None:
    model, batches = layerwise("mixtral"), _batches(sequences)
    _, recorders = _observed(model, batches)
    seen = len(recorders[0].batches)
    _assert_parity(model, model.run(batches), plain_run("mixtral").logits)
    assert len(recorders[0].batches) == seen


def test_layers_are_emptied_after_use(layerwise: Any, sequences: Any) -> None:
    model = layerwise("mixtral")
    filled: list[list[int]] = []

    def factory(*_: Any) -> Recorder:
        filled.append([n for n, layer in enumerate(model._layers) if any(not p.is_meta for p in layer.parameters())])
        return Recorder()

    model.run(_batches(sequences), factory)
    assert filled == [[0], [1]]  # one layer in memory at a time
    assert all(parameter.is_meta for layer in model._layers for parameter in layer.parameters())


def test_double_precision_parity(layerwise: Any, plain_run: Any, sequences: Any) -> None:
    model = layerwise("mixtral", dtype="float64")
    hidden = model.run(_batches(sequences))
    assert hidden[0].dtype == torch.float64
    _assert_parity(model, hidden, plain_run("mixtral", dtype="float64").logits)


def test_neither_config_nor_random_state_is_touched(config_of: Any, weights_on_disk: Any, sequences: Any) -> None:
    # The stored measurements' keys hold the config: a run that changed it would never find them again.
    config, state = config_of("mixtral"), torch.random.get_rng_state()
    before = deepcopy(config)
    model = LayerwiseModel(Checkpoint("m", config, MemorySource(weights_on_disk("mixtral"))))
    model.run(_batches(sequences))
    assert config == before
    assert torch.equal(torch.random.get_rng_state(), state)


@given(st.lists(st.integers(1, 40), max_size=12), st.integers(1, 100))
def test_micro_batches_cover_all_sequences_in_order(lengths: list[int], tokens: int) -> None:
    sequences = [[1] * length for length in lengths]
    bounds = micro_batches(sequences, tokens=tokens)
    assert [i for first, last in bounds for i in range(first, last)] == list(range(len(lengths)))
    for number, (first, last) in enumerate(bounds):
        assert max(lengths[first:last]) * (last - first) <= tokens or last - first == 1
        if number:  # and none is smaller than it need be
            start = bounds[number - 1][0]
            assert max(lengths[start : first + 1]) * (first + 1 - start) > tokens


def test_padding_is_on_the_right_and_masked() -> None:
    batch = pad([[9, 9], [5, 6, 7], [8]], 1, 3, "cpu")
    assert batch.ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.sequence_of.tolist() == [1, 1, 1, 2, 2, 2]


def _message(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wrong_shape_inside_a_layer_is_named(config_of: Any, weights_on_disk: Any, sequences: Any) -> None:
    stored = weights_on_disk("mixtral")
    stored["model.layers.1.self_attn.k_proj.weight"] = torch.ones(8, 15)
    model = LayerwiseModel(Checkpoint("m", config_of("mixtral"), MemorySource(stored)))
    assert _message(lambda: model.run(_batches(sequences))) == (
        "'m' stores 'model.layers.1.self_attn.k_proj.weight' as (8, 15), but its config asks for (8, 16): config and "
        "weights do not belong together"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"vocab_size": 60},
            "'m' stores 'model.embed_tokens.weight' as (50, 16), but its config asks for (60, 16): config and weights "
            "do not belong together",
        ),
        (
            {"num_hidden_layers": 1},
            "'m' stores a router for layer 1, but its config asks for no experts there: config and weights do not "
            "belong together",
        ),
    ],
    ids=["vocabulary", "layers"],
)
def test_config_and_weights_that_disagree(
    change: dict[str, Any], message: str, config_of: Any, weights_on_disk: Any
) -> None:
    checkpoint = Checkpoint("m", config_of("mixtral") | change, MemorySource(weights_on_disk("mixtral")))
    assert _message(lambda: LayerwiseModel(checkpoint)) == message


def test_number_of_experts_that_disagrees(config_of: Any, weights_on_disk: Any, sequences: Any) -> None:
    config = config_of("mixtral") | {"num_local_experts": 5}
    model = LayerwiseModel(Checkpoint("m", config, MemorySource(weights_on_disk("mixtral"))))
    assert _message(lambda: model.run(_batches(sequences))) == (
        "'m' stores 'model.layers.0.mlp.gate.weight' as (4, 16), but its config asks for (5, 16): config and weights "
        "do not belong together"
    )


def test_config_that_builds_no_model(config_of: Any, weights_on_disk: Any) -> None:
    config = config_of("mixtral") | {"hidden_act": "no-such-function"}
    checkpoint = Checkpoint("m", config, MemorySource(weights_on_disk("mixtral")))
    message = _message(lambda: LayerwiseModel(checkpoint))
    assert message.startswith("transformers cannot build 'm' from its config.json (")
    assert "no-such-function" in message


def test_missing_head_is_named(config_of: Any, weights_on_disk: Any) -> None:
    stored = weights_on_disk("mixtral")
    del stored["lm_head.weight"]
    checkpoint = Checkpoint("m", config_of("mixtral"), MemorySource(stored))
    expected = "'m' lacks the tensor 'lm_head.weight': is the checkpoint complete?"
    assert _message(lambda: LayerwiseModel(checkpoint)) == expected


def test_code_beside_the_weights_is_never_run(copied: Callable[..., Path], sequences: Any, tmp_path: Path) -> None:
    import json

    folder, trace = copied("mixtral"), tmp_path / "ran"
    code = f"from pathlib import Path\nPath({str(trace)!r}).touch()\nclass Evil:\n    pass\n"
    (folder / "modeling_evil.py").write_text(code)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    hidden = LayerwiseModel(Checkpoint.open(folder, "m")).run(_batches(sequences))
    assert len(hidden) == len(sequences)
    assert not trace.exists()
