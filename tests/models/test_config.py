"""Configurations: as they are written, and as transformers has them."""

from pathlib import Path

import pytest

from moe_claims.errors import ModelError
from moe_claims.models.config import as_object, read_config


def test_infinity_as_transformers_writes_it(tmp_path: Path) -> None:
    written = '{"limits": [0.0, {"__float__": "Infinity"}], "other": {"__float__": "tall"}}'
    (tmp_path / "config.json").write_text(written)
    assert read_config(tmp_path) == {"limits": [0.0, float("inf")], "other": {"__float__": "tall"}}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "has no config.json: give the folder of a saved model"),
        ("{", "is not valid JSON"),
        ("[1]", "is not the configuration of a model: it holds no JSON object"),
    ],
)
def test_what_is_no_configuration_is_one_line(written: str | None, said: str, tmp_path: Path) -> None:
    if written is not None:
        (tmp_path / "config.json").write_text(written)
    with pytest.raises(ModelError, match=said) as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_object_leaves_the_configuration_as_it_is() -> None:
    config = {
        "model_type": "mixtral",
        "hidden_size": 32,
        "rope_parameters": {"rope_theta": 5.0, "rope_type": "default"},
    }
    before = repr(config)
    assert as_object(config).hidden_size == 32
    assert repr(config) == before


def test_grok_is_known_by_its_architecture_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["Grok1ModelForCausalLM"], "num_experts": 8}')
    assert read_config(tmp_path)["model_type"] == "grok-1"
    (tmp_path / "config.json").write_text('{"architectures": ["Grok1ModelForCausalLM"], "model_type": "other"}')
    assert read_config(tmp_path)["model_type"] == "other"
    (tmp_path / "config.json").write_text('{"architectures": ["MixtralForCausalLM"]}')
    assert "model_type" not in read_config(tmp_path)


def test_code_beside_the_weights_is_forgotten() -> None:
    config = {"model_type": "deepseek", "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekConfig"}}
    assert not hasattr(as_object(config), "auto_map")
    assert "auto_map" in config
