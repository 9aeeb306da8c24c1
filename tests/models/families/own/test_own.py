"""Making our models known to transformers: late, once, and with the rules of both layouts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from moe_claims.models.families import own

TYPES = ("deepseek", "grok-1")


def _model(model_type: str) -> Any:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    sizes = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2}
    more = {"n_routed_experts": 12, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "n_shared_experts": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = CONFIG_MAPPING[model_type](**sizes, **heads, **(more if model_type == "deepseek" else {}))
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def test_nothing_is_registered_by_an_import() -> None:
    code = (
        "import sys\n"
        "from moe_claims.models import config\nfrom moe_claims.models.families import own\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "from transformers import CONFIG_MAPPING\n"
        "known = [CONFIG_MAPPING[name] for name in ('grok-1', 'deepseek') if name in CONFIG_MAPPING]\n"
        "assert not any(config.__module__.startswith('moe_claims') for config in known)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_registering_twice_is_harmless() -> None:
    from transformers import CONFIG_MAPPING

    own.register()
    before = [CONFIG_MAPPING[name] for name in TYPES]
    own.register()
    assert [CONFIG_MAPPING[name] for name in TYPES] == before


@pytest.mark.parametrize("original", [True, False], ids=["original", "fused"])
@pytest.mark.parametrize("model_type", TYPES)
def test_transformers_loads_what_it_saved_in_both_layouts(model_type: str, original: bool, tmp_path: Path) -> None:
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    own.register()
    model = _model(model_type)
    model.save_pretrained(tmp_path, save_original_format=original)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert any(".experts.10." in name for name in file.keys()) == (original and model_type == "deepseek")  # noqa: SIM118
        assert any("gate_up_proj" in name for name in file.keys()) != original  # noqa: SIM118
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


@pytest.mark.parametrize("model_type", TYPES)
def test_it_can_be_trained_and_continued(model_type: str) -> None:
    from transformers.cache_utils import Cache

    own.register()
    model = _model(model_type)
    ids = torch.randint(3, 64, (2, 7))
    whole = model(input_ids=ids, labels=ids, output_router_logits=True)
    assert len(whole.router_logits) == 2 - getattr(model.config, "first_k_dense_replace", 0)
    assert float(whole.aux_loss.detach()) > 0
    whole.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    first = model(input_ids=ids[:, :5], use_cache=True)
    (cached,) = [named for named in first.items() if isinstance(named[1], Cache)]  # by a name of the release's own
    rest = model(input_ids=ids[:, 5:], **dict([cached]), use_cache=True)
    assert torch.allclose(rest.logits, whole.logits[:, 5:], atol=1e-5)
