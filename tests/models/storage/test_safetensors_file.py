"""Reading by offset against the safetensors library, and headers that lie."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from moe_claims.errors import ModelError
from moe_claims.models.storage import safetensors_file
from moe_claims.models.storage.safetensors_file import DTYPES, TensorReader, parse_header, read_spans

ALL = {
    "f64": torch.randn(3, 5, dtype=torch.float64),
    "f32": torch.randn(7),
    "f16": torch.randn(2, 3).half(),
    "bf16": torch.randn(3).bfloat16(),
    "e4m3": torch.randn(5).to(torch.float8_e4m3fn),
    "e5m2": torch.randn(3).to(torch.float8_e5m2),
    "e8m0": torch.tensor([0.5, 2.0, 4.0]).to(torch.float8_e8m0fnu),
    "i64": torch.tensor([2**40, -3]),
    "i32": torch.tensor([2**20], dtype=torch.int32),
    "i16": torch.tensor([-7], dtype=torch.int16),
    "i8": torch.tensor([-7, 3, 1], dtype=torch.int8),
    "u8": torch.tensor([250], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(4.5),
    "empty": torch.empty(0, 3),
}


def _read(path: Path, *names: str) -> list[torch.Tensor]:
    spans = read_spans(path)
    return TensorReader().read([(path, spans[name]) for name in names])


def test_every_dtype_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(ALL, path)
    assert {span.dtype for span in read_spans(path).values()} == set(DTYPES.values())
    for name, found in zip(ALL, _read(path, *ALL), strict=True):
        assert (found.dtype, found.shape) == (ALL[name].dtype, ALL[name].shape)
        assert torch.equal(found.view(-1).view(torch.uint8), ALL[name].view(-1).view(torch.uint8))


@given(shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), min_size=1, max_size=6), data=st.data())
@settings(max_examples=30)
def test_any_tensors_in_any_order(shapes: list[list[int]], data: Any, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    kinds = data.draw(st.lists(st.sampled_from(["f64", "bf16", "i8"]), min_size=len(shapes), max_size=len(shapes)))
    made = {str(i): torch.randn(s).to(ALL[kind].dtype) for i, (s, kind) in enumerate(zip(shapes, kinds, strict=True))}
    save_file(made, path)
    order = data.draw(st.permutations(list(made)))
    for name, found in zip(order, _read(path, *order), strict=True):
        assert torch.equal(found, made[name])


def test_large_tensors_are_read_by_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_file, "_PIECE", 100)
    made = {name: torch.randn(13, 17) for name in "abc"}
    save_file(made, tmp_path / "a.safetensors")
    for name, found in zip("cab", _read(tmp_path / "a.safetensors", *"cab"), strict=True):
        assert torch.equal(found, made[name])


def test_tensors_of_one_shape_lie_one_behind_the_other(tmp_path: Path) -> None:
    made = {name: torch.randn(3, 3).bfloat16() for name in "abc"}
    save_file(made, tmp_path / "a.safetensors")
    found = _read(tmp_path / "a.safetensors", *"abc")
    assert [tensor.data_ptr() - found[0].data_ptr() for tensor in found] == [0, 18, 36]


def test_nothing_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.randn(64, 64)}, path)
    held = _read(path, "a")
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(path) not in maps.read_text()
    assert held[0].shape == (64, 64)


def _file(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def _entry(**changed: Any) -> bytes:
    return json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changed}}).encode()


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"[]", "its header is no JSON object"),
        (b'{"a": 3}', "its header does not describe 'a'"),
        (b'{"a": {"dtype": "F32"}}', "its header does not describe 'a'"),
        (_entry(dtype="F4"), "'a' has the unknown dtype 'F4'"),
        (_entry(dtype=["F32"]), "'a' has the unknown dtype '['F32']'"),
        (_entry(shape=[-2]), "'a' has a shape or an offset that is no whole number"),
        (_entry(shape=[2.0]), "'a' has a shape or an offset that is no whole number"),
        (_entry(data_offsets=[0, True]), "'a' has a shape or an offset that is no whole number"),
        (_entry(shape=[3]), "'a' should take 12 bytes from 0 to 8 of 8"),
        (_entry(shape=[2**70]), f"'a' should take {2**72:,} bytes from 0 to 8 of 8"),
        (_entry(data_offsets=[4, 12]), "'a' should take 8 bytes from 4 to 12 of 8"),
        (b'{"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}, "a": 3}', "the key 'a' stands in it twice"),
        (
            b'{"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},'
            b' "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}}',
            "the tensors 'a' and 'b' overlap",
        ),
    ],
)
def test_headers_that_lie(header: bytes, said: str, tmp_path: Path) -> None:
    path = _file(tmp_path / "a.safetensors", header, bytes(8))
    expected = f"'{path}' cannot be read as safetensors (truncated or damaged?): {said}; download it again"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        read_spans(path)


@pytest.mark.parametrize("length", [2**63, 10**9, 30])
def test_a_header_longer_than_its_file(length: int, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}" + bytes(20))
    expected = (
        f"'{path}' cannot be read as safetensors (truncated or damaged?): its header of {length:,} bytes does not "
        "fit into 30 bytes; download it again"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        read_spans(path)


def test_a_header_nested_without_end(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.safetensors", b"[" * 200_000)
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        read_spans(path)


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.randn(64)}, path)
    spans = read_spans(path)
    path.write_bytes(path.read_bytes()[:-4])
    expected = f"'{path}' cannot be read any more (it ends too soon): was it changed meanwhile?"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        TensorReader().read([(path, spans["a"])])


@given(st.binary(max_size=200))
def test_no_header_of_any_kind_breaks_anything(noise: bytes) -> None:
    try:
        parse_header(noise, 8 + len(noise))
    except ValueError:
        return


@given(at=st.integers(8, 150), value=st.integers(0, 255))
@settings(max_examples=60)
def test_what_is_read_of_a_damaged_header_the_library_reads_alike(at: int, value: int, tmp_path_factory: Any) -> None:
    content = bytearray(save({"a": torch.arange(6.0), "b": torch.ones(2, 2).half()}))
    content[min(at, len(content) - 1)] = value
    path = tmp_path_factory.mktemp("damaged") / "a.safetensors"
    path.write_bytes(content)
    try:
        spans = read_spans(path)
    except ModelError:
        return
    try:
        with safe_open(path, framework="pt") as file:
            theirs = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError:  # stricter than we need be: a hole between tensors harms nobody
        return
    assert set(spans) == set(theirs)
    for name, found in zip(spans, TensorReader().read([(path, span) for span in spans.values()]), strict=True):
        assert found.dtype == theirs[name].dtype
        assert torch.equal(found.view(-1).view(torch.uint8), theirs[name].reshape(-1).view(torch.uint8))
