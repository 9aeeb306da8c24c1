"""Headers of safetensors files: those that the library writes, and those that somebody made up."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from moe_claims.models.header import DTYPES, HeaderError, header_length, parse_header


def _split(path: Path) -> tuple[bytes, bytes]:
    content = path.read_bytes()
    length = header_length(content[:8], len(content))
    return content, content[8 : 8 + length]


def _message(header: Any, data: int = 8) -> str:
    """What is said about a made-up header of a file with so many bytes of tensors."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    with pytest.raises(HeaderError) as caught:
        parse_header(content, 8 + len(content) + data)
    return str(caught.value)


def test_every_dtype_as_the_library_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    bits = torch.randint(0, 2, (3, 5, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    tensors = {dtype: bits.view(getattr(torch, dtype)).clone() for dtype, _ in DTYPES.values()}
    save_file(tensors | {"scalar": torch.tensor(2.0), "nothing": torch.zeros(0, 3)}, path, {"format": "pt"})
    content, header = _split(path)
    entries = parse_header(header, len(content))
    stored = load_file(path)
    assert entries.keys() == stored.keys()
    for name, entry in entries.items():
        raw = torch.frombuffer(bytearray(content[entry.start : entry.stop]) or bytearray(1), dtype=torch.uint8)
        read = raw[: entry.stop - entry.start].view(getattr(torch, entry.dtype)).view(entry.shape)
        assert read.dtype == stored[name].dtype
        assert torch.equal(read.contiguous().view(-1).view(torch.uint8), stored[name].view(-1).view(torch.uint8))


@pytest.mark.parametrize(
    ("length", "size"), [(0, 100), (1, 100), (93, 100), (2**64 - 1, 100), (100_000_001, 10**12), (2, 0)]
)
def test_lengths_that_cannot_be(length: int, size: int) -> None:
    with pytest.raises(HeaderError) as caught:
        header_length(length.to_bytes(8, "little"), size)
    assert str(caught.value) == f"its header would have {length:,} bytes, the file has {size:,}"


def _one(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def _two(first: list[int], second: list[int]) -> dict[str, Any]:
    return {
        name: {"dtype": "U8", "shape": [offsets[1] - offsets[0]], "data_offsets": offsets}
        for name, offsets in (("a", first), ("b", second))
    }


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{", "its header is not JSON (JSONDecodeError)"),
        (b"\xff\xfe", "its header is not JSON (UnicodeDecodeError)"),
        (b"[" * 100_000, "its header is not JSON (RecursionError)"),
        (b'{"a": {}, "a": {}}', "its header is not JSON (ValueError)"),
        ([], "its header is not a JSON object"),
        ({"a": 3}, "'a' lacks dtype, shape or data_offsets"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "'a' lacks dtype, shape or data_offsets"),
        (_one(dtype="F4"), "'a' has the unknown dtype 'F4'"),
        (_one(dtype=["F32"]), "'a' has the unknown dtype '['F32']'"),
        (_one(shape=[-2]), "'a' has the impossible shape [-2]"),
        (_one(shape=[True]), "'a' has the impossible shape [True]"),
        (_one(shape=[2.0]), "'a' has the impossible shape [2.0]"),
        (_one(shape=2), "'a' has the impossible shape 2"),
        (_one(data_offsets=[0]), "'a' has the impossible data_offsets [0]"),
        (_one(data_offsets=[8, 0]), "'a' has the impossible data_offsets [8, 0]"),
        (_one(data_offsets=[-8, 0]), "'a' has the impossible data_offsets [-8, 0]"),
        (_one(shape=[3]), "'a' has 8 bytes, but F32 [3] takes 12"),
        (_one(shape=[2**62, 2**62]), f"'a' has 8 bytes, but F32 [{2**62}, {2**62}] takes {2**126:,}"),
    ],
)
def test_what_is_no_header(header: Any, message: str) -> None:
    assert _message(header) == message


def test_tensors_that_are_not_one_behind_the_other() -> None:
    header = _two([0, 4], [6, 8])
    begin = 8 + len(json.dumps(header))
    assert _message(header) == f"'b' begins at byte {begin + 6}, and what is before it ends at {begin + 4}"
    assert _message(_two([0, 4], [2, 8])).startswith("'b' begins at byte ")
    assert _message(_two([0, 4], [4, 7])) == f"its tensors end at byte {begin + 7}, the file at {begin + 8}"
    assert _message(_one(shape=[10**6], data_offsets=[0, 4 * 10**6])).endswith(", the file at 89")
    assert _message({}) == "its tensors end at byte 10, the file at 18"


@given(st.binary(max_size=60), st.integers(0, 100))
def test_noise_is_refused_and_never_more(noise: bytes, size: int) -> None:
    for parse in (lambda: header_length(noise, size), lambda: parse_header(noise, size)):
        try:
            parse()
        except HeaderError:
            continue
