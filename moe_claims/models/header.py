"""The header of a ``.safetensors`` file that somebody else sends: checked before anything is asked for by it.

Format: 8 bytes with the length n of the header (little-endian), n bytes of JSON, then the
tensors one after the other without gaps. https://huggingface.co/docs/safetensors
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

LENGTH = 8
"""Bytes that say how long the header is."""
LARGEST = 100_000_000
"""Bytes of a header; safetensors itself reads no longer ones."""

DTYPES: Mapping[str, tuple[str, int]] = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U64": ("uint64", 8),
    "U32": ("uint32", 4),
    "U16": ("uint16", 2),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
"""Name in the file → name of the torch dtype, bytes of a number."""


@final
class HeaderError(Exception):
    """The bytes are not a header; the message says what is wrong, without the file."""


@final
@dataclass(frozen=True)
class Entry:
    """Where one tensor lies."""

    dtype: str
    """Name of the torch dtype."""
    shape: tuple[int, ...]
    start: int
    """First byte in the file."""
    stop: int
    """Behind the last byte in the file."""


def header_length(first: bytes, size: int) -> int:
    """Bytes n of the JSON, from the first 8 bytes of a file of ``size`` bytes.

    Raises:
        HeaderError: it would be longer than the file, or than any header is.
    """
    length = int.from_bytes(first[:LENGTH], "little")
    if not 2 <= length <= min(size - LENGTH, LARGEST):
        raise HeaderError(f"its header would have {length:,} bytes, the file has {size:,}")
    return length


def parse_header(content: bytes, size: int) -> dict[str, Entry]:
    """Tensors by name.

    Args:
        content: the JSON alone.
        size: bytes of the whole file.

    Raises:
        HeaderError: no JSON of this format, a dtype that is not known, a length that is not that of
            the shape, or tensors that overlap, leave gaps or do not end where the file does.
    """
    try:
        header = json.loads(content.decode(), object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"its header is not JSON ({type(error).__name__})") from None
    if not isinstance(header, dict):
        raise HeaderError("its header is not a JSON object")
    data = LENGTH + len(content)
    entries = {name: _entry(name, said, data) for name, said in header.items() if name != "__metadata__"}
    end = data
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != end:
            raise HeaderError(f"'{name}' begins at byte {entry.start:,}, and what is before it ends at {end:,}")
        end = entry.stop
    if end != size:
        raise HeaderError(f"its tensors end at byte {end:,}, the file at {size:,}")
    return entries


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _entry(name: str, said: Any, data: int) -> Entry:
    """One tensor, whose offsets count from byte ``data`` of the file."""
    if not isinstance(said, dict) or not {"dtype", "shape", "data_offsets"} <= said.keys():
        raise HeaderError(f"'{name}' lacks dtype, shape or data_offsets")
    dtype, shape, offsets = said["dtype"], said["shape"], said["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise HeaderError(f"'{name}' has the unknown dtype '{dtype}'")
    if not _sizes(shape):
        raise HeaderError(f"'{name}' has the impossible shape {shape}")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise HeaderError(f"'{name}' has the impossible data_offsets {offsets}")
    torch_name, bytes_each = DTYPES[dtype]
    wanted = math.prod(shape) * bytes_each
    if offsets[1] - offsets[0] != wanted:
        raise HeaderError(f"'{name}' has {offsets[1] - offsets[0]:,} bytes, but {dtype} {shape} takes {wanted:,}")
    return Entry(torch_name, tuple(shape), data + offsets[0], data + offsets[1])


def _sizes(values: Any) -> bool:
    """Whether this is a list of whole numbers, 0 or more, that a file's size could be."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)
