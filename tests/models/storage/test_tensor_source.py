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
from moe_claims.models.storage.tensor_source import MemorySource, SafetensorsFolder

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
        ('{"weight_map": "abc"}', "TypeError"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "the key 'a' stands in it twice"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_index_that_is_none(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(content)
    expected = f"'{tmp_path / INDEX}' is not an index of safetensors files ({said}): download it again"
    assert _message(lambda: SafetensorsFolder(tmp_path)) == expected


@pytest.mark.parametrize(
    "shard",
    [
        "../two.safetensors",
        "/tmp/two.safetensors",
        "..\\two.safetensors",
        "sub/two.safetensors",
        "..",
        "",
        "a\0b",
        3,
        None,
    ],
)
def test_index_that_points_elsewhere(shard: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    _two_shards(folder)
    for place in (tmp_path, folder / "sub"):
        save_file({"b": torch.ones(3)}, place / "two.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": shard}}))
    expected = (
        f"'{folder / INDEX}' names '{str(shard).replace(chr(0), chr(92) + 'x00')}' as a file of weights, which is no "
        "file name: nothing outside a model's own folder is read; get the model from a source you trust"
    )
    assert _message(lambda: SafetensorsFolder(folder)) == expected


def test_links_are_followed_as_caches_have_them(tmp_path: Path) -> None:
    folder, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    for place in (folder, blobs):
        place.mkdir(parents=True)
    _two_shards(blobs)
    for number, path in enumerate(sorted(blobs.iterdir())):
        blob = path.rename(blobs / f"{number:064}")
        (folder / path.name).symlink_to(Path("..", "..", "blobs", blob.name))
    assert SafetensorsFolder(folder).get("b").tolist() == [1, 1, 1]


def test_shard_with_a_name_beyond_any_file_system(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "x" * 300}}))
    expected = f"'{tmp_path}' lacks shard {'x' * 300} of the 1 in its index: download it again"
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


PLAIN = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.mark.parametrize(
    ("header", "claimed", "said"),
    [
        (PLAIN, 1 << 63, "its header of 9,223,372,036,854,775,808 bytes does not fit"),
        (PLAIN, len(PLAIN) + 9, f"its header of {len(PLAIN) + 9} bytes does not fit"),
        (PLAIN.replace(b"[2]", b"[2000]").replace(b",8]", b",8000]"), None, "should take 8,000 bytes"),
        (PLAIN.replace(b"[0,8]", b"[8,16]"), None, "from 8 to 16 of 8"),
        (PLAIN.replace(b"[2]", b"[4611686018427387904,8]"), None, "should take 147,573,952,589,676,412,928 bytes"),
        (PLAIN.replace(b"[2]", b"[-2]"), None, "a shape or an offset that is no whole number"),
        (PLAIN[:-1] + b"," + PLAIN[1:].replace(b"F32", b"I32"), None, "the key 'a' stands in it twice"),
        (PLAIN.replace(b'"shape"', b'"shape":[1,2],"shape"'), None, "twice"),
        (b"[" * 100_000, None, "it is nested too deeply"),
    ],
)
def test_header_that_lies_or_says_two_things(header: bytes, claimed: int | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((len(header) if claimed is None else claimed).to_bytes(8, "little") + header + bytes(8))
    message = _message(lambda: SafetensorsFolder(tmp_path).get("a"))
    assert message.startswith(f"'{path}' cannot be read as safetensors (truncated or damaged?): ")
    assert said in message
    assert len(message) < 400


def test_the_header_that_those_are_made_of_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(len(PLAIN).to_bytes(8, "little") + PLAIN + bytes(8))
    assert SafetensorsFolder(tmp_path).get("a").tolist() == [0, 0]


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
