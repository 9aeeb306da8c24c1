"""The random-initialisation control: transformers' own initialisation, seeded, and nothing else moved."""

from copy import deepcopy
from typing import Any

import pytest
import torch

from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.storage.tensor_source import MemorySource
from moe_claims.models.synthetic.random_init import initialise


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", ["mixtral", "olmoe", "qwen3_moe"])
def test_weights_are_those_of_a_fresh_model(name: str, tied: bool, config_of: Any) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    weights = initialise(config_of(name, tied), seed=4)
    config = config_of(name, tied)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    theirs = dict(model.named_parameters())
    assert weights.keys() == theirs.keys()
    assert all(torch.equal(weights[key], theirs[key]) for key in weights)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_seed_decides(config_of: Any) -> None:
    def sha256(seed: int) -> str:
        config = config_of("mixtral")
        return Checkpoint("m", config, MemorySource(initialise(config, seed=seed))).sha256

    assert sha256(1) == sha256(1) != sha256(2)


def test_stored_dtype_of_the_original_does_not_matter(config_of: Any) -> None:
    plain = initialise(config_of("mixtral"), seed=1)
    halved = initialise(config_of("mixtral") | {"dtype": "bfloat16", "torch_dtype": "bfloat16"}, seed=1)
    assert all(torch.equal(plain[key], halved[key]) for key in plain)


def test_neither_config_nor_random_state_is_touched(config_of: Any) -> None:
    config, state = config_of("olmoe"), torch.random.get_rng_state()
    before = deepcopy(config)
    initialise(config, seed=1)
    assert config == before
    assert torch.equal(torch.random.get_rng_state(), state)
