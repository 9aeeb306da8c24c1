"""Reads safetensors files: parses headers and reads tensors by offset.

Files are not memory-mapped, since a mapping counts against limits of address space and data (``ulimit``), under which
a large checkpoint could then not be opened.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from moe_claims._util.strict_json import parse
from moe_claims.errors import ModelError
from moe_claims.models.storage.buffer_pool import BufferPool

if TYPE_CHECKING:
    import torch

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Names of dtypes in safetensors → names in torch."""

LARGEST_HEADER = 100_000_000
"""Largest header in bytes that the safetensors library accepts."""
_PIECE = 1 << 24
"""Bytes that a thread reads per call."""
_THREADS = 4
_ALIGNED = 64


@final
@dataclass(frozen=True)
class Span:
    """Position, dtype and shape of a tensor in a file."""

    dtype: str
    """Name of the dtype in torch."""
    shape: tuple[int, ...]
    begin: int
    """Offset of the first byte from the start of the file."""
    size: int
    """Size in bytes."""


def read_spans(path: Path) -> dict[str, Span]:
    """Reads and validates the header of a file: where each tensor is, by name.

    Raises:
        ModelError: the file is damaged or not in safetensors format.
    """
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if total < 8 or length > min(total - 8, LARGEST_HEADER):
                raise ValueError(f"its header of {length:,} bytes does not fit into {total:,} bytes")
            return parse_header(file.read(length), total)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{path}' cannot be read as safetensors (truncated or damaged?): {error}; download it again"
        ) from None


def parse_header(header: bytes, total: int) -> dict[str, Span]:
    """Parses and validates a header: where each tensor is, by name.

    Args:
        header: the header's JSON, without the eight bytes before it that give its length.
        total: size of the whole file in bytes.

    Raises:
        ValueError: the header is malformed, tensors overlap, or one extends beyond the end of the file.
    """
    first = 8 + len(header)
    found = parse(header)
    if not isinstance(found, dict):
        raise ValueError("its header is no JSON object")
    spans = {name: _span(name, entry, first, total) for name, entry in found.items() if name != "__metadata__"}
    ordered = sorted(spans.items(), key=lambda item: (item[1].begin, item[1].size))
    for (name, span), (other, following) in pairwise(ordered):
        if span.begin + span.size > following.begin:
            raise ValueError(f"the tensors '{name}' and '{other}' overlap")
    return spans


def _span(name: str, entry: Any, first: int, total: int) -> Span:
    try:
        stored, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"its header does not describe '{name}'") from None
    if not isinstance(stored, str) or stored not in DTYPES:
        raise ValueError(f"'{name}' has the unknown dtype '{stored}'")
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"'{name}' has a shape or an offset that is no whole number")
    size = math.prod(shape) * _width(DTYPES[stored])
    if end - begin != size or first + end > total:
        raise ValueError(f"'{name}' should take {size:,} bytes from {begin:,} to {end:,} of {total - first:,}")
    return Span(DTYPES[stored], shape, first + begin, size)


def _width(dtype: str) -> int:
    """Bytes per element."""
    import torch

    return int(getattr(torch, dtype).itemsize)


def room_for(spans: Sequence[Span], buffers: BufferPool) -> "list[torch.Tensor]":
    """Allocates a uint8 buffer (size,) for each tensor; contiguous with each other if all have one dtype and shape."""
    sizes = [-(-span.size // _ALIGNED) * _ALIGNED if len(spans) > 1 else span.size for span in spans]
    if len({(span.dtype, span.shape) for span in spans}) == 1:
        sizes = [span.size for span in spans]
    memory = buffers.take(sum(sizes))
    starts = accumulate(sizes, initial=0)
    return [memory[start : start + span.size] for start, span in zip(starts, spans, strict=False)]


def as_tensor(content: "torch.Tensor", span: Span) -> "torch.Tensor":
    """Views a uint8 buffer as the tensor that its bytes represent."""
    import torch

    return content.view(getattr(torch, span.dtype)).view(span.shape)


@final
class TensorReader:
    """Reads tensors of safetensors files into pooled buffers, using several threads for large ones."""

    def __init__(self) -> None:
        self._buffers = BufferPool()

    def read(self, spans: Sequence[tuple[Path, Span]], *, threads: int = _THREADS) -> "list[torch.Tensor]":
        """Reads tensors; they are contiguous with each other in memory if all have the same dtype and shape.

        Args:
            spans: for each tensor, its file and its position in it.
            threads: number of threads that read large tensors; 1 if the caller uses several threads itself.

        Raises:
            ModelError: a file can no longer be read, or ends too soon.
        """
        parts = room_for([span for _, span in spans], self._buffers)
        pieces = [
            (path, span.begin + start, part[start : start + _PIECE])
            for (path, span), part in zip(spans, parts, strict=True)
            for start in range(0, span.size, _PIECE)
        ]
        if threads == 1 or sum(len(part) for part in parts) <= _PIECE:
            for piece in pieces:
                _read_piece(*piece)
        else:
            with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
                list(pool.map(lambda piece: _read_piece(*piece), pieces))
        return [as_tensor(part, span) for (_, span), part in zip(spans, parts, strict=True)]


def _read_piece(path: Path, begin: int, into: "torch.Tensor") -> None:
    array: Any = into.numpy()
    memory = memoryview(array)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(begin)
            while memory:
                count = file.readinto(memory)
                if not count:
                    raise OSError("it ends too soon")
                memory = memory[count:]
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read any more ({error}): was it changed meanwhile?") from None
