"""Reading tensors from folders, and refusing to read anything that could run."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.source import MemorySource, SafetensorsFolder

INDEX = "model.safetensors.index.json"


class Malicious:
    """Unpickling this makes a file: the file's absence proves that nothing was unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.trace,)


def _message(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _two_shards(folder: Path) -> None:
    save_file({"a": torch.zeros(2)}, folder / "one.safetensors")
    save_file({"b": torch.ones(3)}, folder / "two.safetensors")
    weight_map = {"a": "one.safetensors", "b": "two.safetensors"}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_memory() -> None:
    source = MemorySource({"a": torch.zeros(2)})
    assert source.names() == {"a"}
    assert source.get("a").tolist() == [0, 0]
    with pytest.raises(KeyError):
        source.get("b")


@pytest.mark.parametrize("indexed", [True, False])
def test_one_folder_of_many_files(indexed: bool, tmp_path: Path) -> None:
    _two_shards(tmp_path)
    if not indexed:
        (tmp_path / INDEX).unlink()
    source = SafetensorsFolder(tmp_path)
    assert source.names() == {"a", "b"}
    assert source.get("b").tolist() == [1, 1, 1]
    with pytest.raises(KeyError):
        source.get("c")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_stored_dtype_is_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, dtype=dtype)}, tmp_path / "model.safetensors")
    assert SafetensorsFolder(tmp_path).get("a").dtype == dtype


def test_missing_shard_is_named(tmp_path: Path) -> None:
    _two_shards(tmp_path)
    (tmp_path / "two.safetensors").unlink()
    expected = f"'{tmp_path}' lacks shard two.safetensors of the 2 in its index: download it again"
    assert _message(lambda: SafetensorsFolder(tmp_path)) == expected
    (tmp_path / "one.safetensors").unlink()
    expected = f"'{tmp_path}' lacks shard one.safetensors and 1 more of the 2 in its index: download it again"
    assert _message(lambda: SafetensorsFolder(tmp_path)) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        ('{"weight_map": 3}', "TypeError"),
        ('{"weight_map": "abc"}', "ValueError"),
    ],
)
def test_index_that_is_none(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(content)
    expected = f"'{tmp_path / INDEX}' is not an index of safetensors files ({said}): download it again"
    assert _message(lambda: SafetensorsFolder(tmp_path)) == expected


def test_index_that_promises_too_much(tmp_path: Path) -> None:
    _two_shards(tmp_path)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"b": "one.safetensors"}}))
    with pytest.raises(KeyError, match="'b'"):  # the checkpoint turns it into its line about a missing tensor
        SafetensorsFolder(tmp_path).get("b")


@pytest.mark.parametrize("left", [0, 4, 40, -3])
def test_truncated_file_is_named(left: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(64.0)}, path)
    path.write_bytes(path.read_bytes()[:left])
    message = _message(lambda: SafetensorsFolder(tmp_path).get("a"))
    assert message.startswith(f"'{path}' cannot be read as safetensors (truncated or damaged?): ")
    assert message.endswith("; download it again")


def test_empty_folder(tmp_path: Path) -> None:
    expected = f"'{tmp_path}' has no *.safetensors file: give a folder that holds the weights"
    assert _message(lambda: SafetensorsFolder(tmp_path)) == expected


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pt"])
def test_pickled_weights_are_refused_unopened(name: str, tmp_path: Path, config_of: Any) -> None:
    trace = tmp_path / "ran"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Malicious(trace)))
    (folder / "config.json").write_text(json.dumps(config_of("mixtral")))
    assert _message(lambda: Checkpoint.open(folder, "m")) == (
        f"'{folder}' holds pickled weights ({name}), which are never loaded: if you trust them, rewrite each file "
        'there with python -c "import torch; from safetensors.torch import save_file; '
        f"save_file(torch.load('{name}', weights_only=True), '{name.rpartition('.')[0]}.safetensors')\""
    )
    assert not trace.exists()
    pickle.loads((folder / name).read_bytes())
    assert trace.exists()  # the trap works


def test_what_the_refusal_of_pickled_weights_says_works(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(6.0).reshape(2, 3)}, tmp_path / "pytorch_model.bin")
    _, found, command = _message(lambda: SafetensorsFolder(tmp_path)).partition("python -c ")
    assert found
    subprocess.run([sys.executable, "-c", command.strip('"')], cwd=tmp_path, check=True)
    assert torch.equal(SafetensorsFolder(tmp_path).get("a"), torch.arange(6.0).reshape(2, 3))


def test_pickle_beside_or_in_place_of_safetensors_is_never_opened(tmp_path: Path, copied: Any) -> None:
    trace = tmp_path / "ran"
    folder = copied("mixtral")
    evil = pickle.dumps(Malicious(trace))
    (folder / "pytorch_model.bin").write_bytes(evil)
    assert Checkpoint.open(folder, "m").router(0).shape == (4, 16)  # the safetensors file is read, and it alone
    (folder / "model.safetensors").write_bytes(evil)
    assert "cannot be read as safetensors" in _message(lambda: Checkpoint.open(folder, "m"))
    (folder / "model.safetensors").unlink()
    weight_map = {"model.layers.0.block_sparse_moe.gate.weight": "pytorch_model.bin"}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert "cannot be read as safetensors" in _message(lambda: Checkpoint.open(folder, "m").router(0))
    assert not trace.exists()
