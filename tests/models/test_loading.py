"""From a name to an open model: provenance, tokenizer, control."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from moe_claims.errors import ModelError, UsageError
from moe_claims.measure.routed import measure_routed
from moe_claims.models import loading
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import CONTROL_SEED, OpenModel, open_model, random_control
from moe_claims.models.names import ModelRef, resolve
from moe_claims.models.synthetic.random_init import initialise


def _message(make: Callable[[], object], kind: type[Exception] = ModelError) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _tokenizer() -> Tokenizer:
    words = {word: number for number, word in enumerate(["[PAD]", "<s>", "one", "two", "three", "[UNK]"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def _open(folder: Path) -> OpenModel:
    return open_model(resolve(str(folder)))


def test_directory(saved: Callable[..., Path]) -> None:
    folder = saved("mixtral")
    model = _open(folder)
    assert model.ref == ModelRef(str(folder), "directory", str(folder))
    assert (model.revision_sha, model.hub_id, model.encode, model.context) == (None, None, None, 64)


def test_context_where_the_config_is_silent(copied: Callable[..., Path]) -> None:
    folder = copied("mixtral")
    config = json.loads((folder / "config.json").read_text())
    del config["max_position_embeddings"]
    (folder / "config.json").write_text(json.dumps(config))
    assert _open(folder).context == 2048


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe with a dense layer"])
def test_card(name: str, saved: Callable[..., Path], tiny_configs: Any) -> None:
    model, config = _open(saved(name)), tiny_configs[name]
    assert model.card() == {
        "name": str(saved(name)),
        "kind": "directory",
        "hub_id": None,
        "revision_sha": None,
        "family": config["model_type"],
        "moe_layers": 2,
        "total_layers": config["num_hidden_layers"],
        "experts": config.get("num_experts", config.get("num_local_experts")),
        "top_k": 2,
        "hidden": 16,
        "intermediate": config.get("moe_intermediate_size", 12),
        "weights_sha256": model.checkpoint.sha256,
        "note": None,
    }
    json.dumps(model.card(), allow_nan=False)


def test_tokenizer_beside_the_weights(copied: Callable[..., Path]) -> None:
    folder = copied("mixtral")
    _tokenizer().save(str(folder / "tokenizer.json"))
    encode = _open(folder).encoder()
    assert list(encode("one three two four")) == [1, 2, 4, 3, 5]  # special tokens included


def test_saved_truncation_and_padding_do_not_touch_the_text(copied: Callable[..., Path]) -> None:
    # Left on, the first would cut passages without a count and the second feed padding as if it were text.
    folder, tokenizer = copied("mixtral"), _tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=8, pad_id=0, pad_token="[PAD]")
    tokenizer.save(str(folder / "tokenizer.json"))
    encode = _open(folder).encoder()
    assert list(encode("one two three two one")) == [1, 2, 3, 4, 3, 2]
    assert list(encode("one")) == [1, 2]


def test_no_tokenizer(saved: Callable[..., Path]) -> None:
    folder = saved("mixtral")
    assert _message(lambda: _open(folder).encoder()) == (
        f"'{folder}' has no tokenizer (tokenizer.json): add it to the folder, or measure the weights alone; "
        "'python -m moe_claims measure' also takes --token-ids"
    )


@pytest.mark.parametrize("content", ["", "{", '{"version": "1.0"}'])
def test_damaged_tokenizer(content: str, copied: Callable[..., Path]) -> None:
    folder = copied("mixtral")
    (folder / "tokenizer.json").write_text(content)
    message = _message(lambda: _open(folder))
    assert message.startswith(f"'{folder / 'tokenizer.json'}' cannot be read as a tokenizer: ")


@pytest.mark.parametrize("kind", ["planted", "null", "random-init"])
def test_synthetic(kind: str) -> None:
    name = f"synthetic:{kind}?seed=2&layers=2&hidden=16&intermediate=8&vocabulary=32&context=9"
    model = open_model(resolve(name))
    assert (model.ref.name, model.context, model.revision_sha, model.hub_id) == (name, 9, None, None)
    assert model.card()["kind"] == "synthetic"
    ids = model.encoder()("a few words")
    assert ids[0] == 0 and len(ids) == 4 and max(ids) < 32
    again = open_model(resolve(name)).checkpoint.sha256
    assert model.checkpoint.sha256 == again
    assert open_model(resolve(name.replace("seed=2", "seed=3"))).checkpoint.sha256 != again
    assert measure_routed(LayerwiseModel(model.checkpoint), [list(ids), [0, 1]]).layers.tolist() == [0, 1]


def test_synthetic_option_that_does_not_exist() -> None:
    message = _message(lambda: open_model(resolve("synthetic:planted?depth=3")), UsageError)
    assert message.startswith("synthetic:planted has no option 'depth': it takes seed, layers, ")


def test_synthetic_models_have_no_revisions() -> None:
    ref = replace(resolve("synthetic:null"), revision="main")
    assert _message(lambda: open_model(ref), UsageError) == "'synthetic:null': synthetic models have no revisions"


@pytest.mark.parametrize("name", ["mixtral", "olmoe", "qwen3_moe", "qwen3_moe with a dense layer"])
def test_control_is_the_same_architecture_freshly_initialised(name: str, copied: Callable[..., Path]) -> None:
    folder = copied(name)
    _tokenizer().save(str(folder / "tokenizer.json"))
    model = _open(folder)
    control = random_control(model)
    assert control.ref.name == f"{folder} (random init)"
    assert control.encode is model.encode and control.context == model.context
    for field in ("family", "moe_layers", "total_layers", "experts", "top_k", "hidden", "intermediate"):
        assert control.card()[field] == model.card()[field]
    fresh = initialise(model.checkpoint.config, seed=CONTROL_SEED)
    assert torch.equal(control.checkpoint.router(0), fresh["model.layers.0.mlp.gate.weight"])
    assert control.checkpoint.sha256 != model.checkpoint.sha256
    assert random_control(model).checkpoint.sha256 == control.checkpoint.sha256
    run = measure_routed(LayerwiseModel(control.checkpoint), [[1, 2, 3], [4, 5]])
    assert run.layers.tolist() == list(model.checkpoint.moe_layers)


def test_control_that_would_take_hours(saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # The real limit is a hundred billion; its arithmetic is shown on a model of 4608 expert parameters.
    monkeypatch.setattr(loading, "_LARGEST_CONTROL", 4607)
    folder = saved("mixtral")
    model = _open(folder)
    assert sum(model.checkpoint.matrix(n, role).numel() for n in (0, 1) for role in ("up", "act", "down")) == 4608
    assert _message(lambda: random_control(model)) == (
        f"the random-initialisation control of '{folder}' has over 0 billion parameters, which would take hours to make"
    )
    monkeypatch.setattr(loading, "_LARGEST_CONTROL", 4608)
    assert random_control(model).checkpoint.experts == 4
