"""A checkpoint several times larger than what a process may have is measured on the real command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory that is mapped for data")

LAYERS, EXPERTS, WIDTH, INNER, VOCABULARY = 16, 8, 2048, 2048, 64
LAYER = 2 * EXPERTS * 3 * WIDTH * INNER
"""Bytes of a layer's experts in bfloat16: 201 MB, 3.2 GB in all."""
LIMIT = 3 * 2**29
"""Bytes of data that the process may have, libraries and all: half of the checkpoint."""

LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT}, {LIMIT}))
from moe_claims.commands.main import main
status = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
sys.exit(status)
"""


def _tensors() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, WIDTH),
        "lm_head.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.{norm}_layernorm.weight": (WIDTH,) for norm in ("input", "post_attention")}
        shapes |= {f"{prefix}.self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        shapes[f"{prefix}.block_sparse_moe.gate.weight"] = (EXPERTS, WIDTH)
        for expert in range(EXPERTS):
            for name in ("w1", "w2", "w3"):
                shapes[f"{prefix}.block_sparse_moe.experts.{expert}.{name}.weight"] = (INNER, WIDTH)
    return shapes


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Mixtral in one file with a hole in it: all zeros, which take no room on disk."""
    folder = tmp_path_factory.mktemp("large")
    header: dict[str, Any] = {}
    end = 0
    for name, shape in _tensors().items():
        start, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    content = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        file.truncate(8 + len(content) + end)
    config = {
        "model_type": "mixtral", "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": 16, "num_key_value_heads": 16, "num_local_experts": EXPERTS, "num_experts_per_tok": 2,
        "vocab_size": VOCABULARY, "max_position_embeddings": 128, "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    assert (folder / "model.safetensors").stat().st_size > 2 * LIMIT
    return folder


def _measured(folder: Path, output: Path, *options: str) -> tuple[dict[str, Any], int]:
    command = [sys.executable, "-c", LIMITED, "measure", str(folder), "--output", str(output), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(output) as arrays:
        return dict(arrays), int(done.stdout.split()[-1])


def test_the_limit_is_one() -> None:
    code = LIMITED.split("from moe_claims")[0] + f"bytearray({LIMIT})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


@pytest.mark.campaign("long")
def test_weights(large: Path, tmp_path: Path) -> None:
    arrays, peak = _measured(large, tmp_path / "x.npz", "--what", "weights")
    assert arrays["similarity.matrix.up"].shape == (LAYERS, EXPERTS, EXPERTS)
    assert (arrays["similarity.matrix.up"] == np.eye(EXPERTS)).all()  # zeros have no direction
    assert peak < 2 * LAYER + 10**9


@pytest.mark.campaign("long")
def test_forward(large: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps([[5, 6, 7, 8], [9, 10, 11]]))
    # In float32, of which every processor has products: without bf16 they are emulated, and take minutes.
    arrays, peak = _measured(
        large, tmp_path / "x.npz", "--what", "outputs", "--dtype", "float32", "--token-ids", str(ids)
    )
    assert arrays["output_norms"].shape == (LAYERS, 7, EXPERTS)
    np.testing.assert_allclose(arrays["nats"], np.log(VOCABULARY), rtol=1e-3)
    # Two layers, twice as wide as they are stored, and 1 GB for libraries and what they map, as for the weights.
    assert peak < 2 * 2 * (LAYER + 8 * WIDTH * WIDTH) + 10**9
    assert peak < LIMIT + 10**8
