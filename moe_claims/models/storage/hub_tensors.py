"""Tensors of a repository on the hub, read over the network: headers first, then what is asked for, never to disk."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final

from moe_claims._util.progress import track
from moe_claims.errors import ModelError
from moe_claims.models.storage import shards
from moe_claims.models.storage.buffer_pool import BufferPool
from moe_claims.models.storage.safetensors_file import LARGEST_HEADER, Span, as_tensor, parse_header, room_for

if TYPE_CHECKING:
    import torch

Job = TypeVar("Job")

LARGEST_REQUEST = 32 * 1024 * 1024
"""Bytes of one request: what is lost when a server must be asked anew, and many times what a round trip costs."""
AT_ONCE = 8
"""Requests on the way at the same time."""


class RemoteFiles(Protocol):
    """The files of one commit on the hub, as a ``RemoteSource`` reads them; errors are ``ModelError``."""

    @property
    def name(self) -> str:
        """Of the repository, for messages."""

    @property
    def files(self) -> frozenset[str]:
        """Names of all files."""

    def whole(self, file: str) -> bytes:
        """The content of a small file."""

    def fill(self, file: str, start: int, targets: Sequence[memoryview], stop: Event) -> None:
        """Reads consecutive bytes of a file from ``start`` on into buffers, one after the other, until ``stop``."""

    def size(self, file: str) -> int:
        """Bytes of a file, part of which was read before."""


@final
@dataclass(frozen=True)
class Part:
    """One request: consecutive bytes of a file, and where they go."""

    file: str
    start: int
    targets: tuple[memoryview, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(target) for target in self.targets)


def parts_of(wanted: Iterable[tuple[str, int, memoryview]], largest: int) -> list[Part]:
    """The requests that read what is wanted: neighbours together, nothing twice, nothing else.

    Args:
        wanted: file, first byte, and where its bytes go.
        largest: bytes of one request.
    """
    parts: list[Part] = []
    for file, start, target in sorted(wanted, key=lambda one: one[:2]):
        offset = 0
        while offset < len(target):
            last = parts[-1] if parts else None
            fits = last is not None and (last.file, last.start + last.size) == (file, start + offset)
            room = largest - last.size if last is not None and fits else 0
            piece = target[offset : offset + (room or largest)]
            if last is not None and room:
                parts[-1] = Part(file, last.start, (*last.targets, piece))
            else:
                parts.append(Part(file, start + offset, (piece,)))
            offset += len(piece)
    return parts


def at_once(jobs: Sequence[Job], work: Callable[[Job, Event], None]) -> Iterator[Job]:
    """The jobs as they are done, several at the same time; one that fails stops the others."""
    stop = Event()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hub") as pool:
        running = {pool.submit(work, job, stop): job for job in jobs}
        try:
            for done in as_completed(running):
                done.result()
                yield running[done]
        finally:
            stop.set()
            for future in running:
                future.cancel()


@final
class RemoteSource:
    """Tensors of one commit on the hub. Every call reads anew; any number of threads may call.

    Args:
        repository: the files among which the weights are.
        largest: bytes of one request.

    Raises:
        ModelError: no safetensors there, a shard of the index is missing, a header is
            damaged, or it cannot be read; the message names the file.
    """

    def __init__(self, repository: RemoteFiles, *, largest: int = LARGEST_REQUEST) -> None:
        self._repository = repository
        self._largest = largest
        self._buffers = BufferPool()
        self._headers: dict[str, dict[str, Span]] = {}
        indexed: dict[str, str] | None = None
        if shards.INDEX in repository.files:
            index, remedy = f"{shards.INDEX} of {repository.name}", "try another revision"
            indexed = shards.weight_map(repository.whole(shards.INDEX), index, remedy)
            shards.check_complete(repository.name, indexed, repository.files, remedy)
            files = sorted(set(indexed.values()))
        else:
            beside = [name for name in repository.files if "/" not in name]
            files = shards.without_index(repository.name, beside, "in a copy of it")
        label = f"reading headers of {repository.name}"
        list(track(at_once(files, self._read_header), label, unit="files", total=len(files)))
        self._where = indexed or {name: file for file in files for name in self._headers[file]}

    def __reduce__(self) -> "tuple[Callable[..., RemoteSource], tuple[RemoteFiles]]":
        """Another process reads the headers anew."""
        return partial(RemoteSource, largest=self._largest), (self._repository,)

    def _read_header(self, file: str, stop: Event) -> None:
        first = bytearray(8)
        self._repository.fill(file, 0, [memoryview(first)], stop)
        total, length = self._repository.size(file), int.from_bytes(first, "little")
        try:
            if length > min(total - len(first), LARGEST_HEADER):
                raise ValueError(f"its header of {length:,} bytes does not fit into {total:,} bytes")
            content = bytearray(length)
            self._repository.fill(file, len(first), [memoryview(content)], stop)
            self._headers[file] = parse_header(bytes(content), total)
        except ValueError as error:
            raise ModelError(
                f"{file} of '{self._repository.name}' cannot be read as safetensors: {error}; try another revision"
            ) from None

    def names(self) -> frozenset[str]:
        return frozenset(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._span(name).shape

    def described(self, name: str) -> tuple[str, str, tuple[int, ...], int, int]:
        """File, dtype, shape, first byte and size in bytes of a tensor, from the headers."""
        span = self._span(name)
        return self._where[name], span.dtype, span.shape, span.begin, span.size

    def get(self, name: str) -> "torch.Tensor":
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        spans = {name: self._span(name) for name in names}
        rooms = dict(zip(spans, room_for(list(spans.values()), self._buffers), strict=True))
        wanted = [(self._where[name], span.begin, _memory(rooms[name])) for name, span in spans.items()]
        parts = parts_of(wanted, self._largest)
        list(at_once(parts, lambda part, stop: self._repository.fill(part.file, part.start, part.targets, stop)))
        return [as_tensor(rooms[name], spans[name]) for name in names]

    def _span(self, name: str) -> Span:
        return self._headers[self._where[name]][name]  # the index may promise what the shard does not hold


def _memory(content: "torch.Tensor") -> memoryview:
    array: Any = content.numpy()
    return memoryview(array)
