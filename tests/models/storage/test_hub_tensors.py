"""Tensors over the network, from a hub on this machine: the same as from the folder, and nothing but what was asked."""

import gzip
import json
import pickle
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from moe_claims._util import progress
from moe_claims.errors import ModelError
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.models.storage.hub_repository import REMEDY, Repository
from moe_claims.models.storage.hub_tensors import Part, RemoteSource, parts_of
from moe_claims.models.storage.tensor_source import SafetensorsFolder

ROUTER = "model.layers.0.block_sparse_moe.gate.weight"
EXPERT = "model.layers.0.block_sparse_moe.experts.{}.w1.weight"


def _message(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert "hf_secret" not in str(caught.value)
    assert "signature" not in str(caught.value)
    return str(caught.value)


def _bytes_of(folder: Path, name: str) -> int:
    return SafetensorsFolder(folder).get(name).nbytes


def _headers(folder: Path) -> int:
    """Bytes of all headers, lengths included."""
    return sum(8 + struct.unpack("<Q", path.read_bytes()[:8])[0] for path in folder.glob("*.safetensors"))


@pytest.fixture
def one_file(tmp_path: Path) -> Path:
    """Three neighbouring tensors of 400 bytes and one of another dtype."""
    folder = tmp_path / "one"
    folder.mkdir()
    tensors = {name: torch.arange(100.0) + number for number, name in enumerate("abc")}
    save_file(tensors | {"d": torch.arange(7, dtype=torch.int8)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def source(one_file: Path, repository_of: Callable[..., Repository], hub_here: Any) -> RemoteSource:
    """Of the one file, with a log that begins now."""
    read = RemoteSource(repository_of(one_file))
    hub_here.log.clear()
    return read


class InMemory:
    """A repository that needs no network."""

    name = "org/memory"

    def __init__(self, folder: Path) -> None:
        self._content = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.files = frozenset(self._content)

    def whole(self, file: str) -> bytes:
        return self._content[file]

    def fill(self, file: str, start: int, targets: Sequence[memoryview], stop: Event) -> None:
        for target in targets:
            target[:] = self._content[file][start : start + len(target)]
            start += len(target)

    def size(self, file: str) -> int:
        return len(self._content[file])


@pytest.mark.parametrize("layout", ["fused", "original-sharded"])
def test_any_files_by_range_are_a_source(layout: str, saved: Callable[..., Path]) -> None:
    folder = saved("mixtral", False, layout)
    local, source = SafetensorsFolder(folder), RemoteSource(InMemory(folder), largest=1_000)
    assert source.names() == local.names()
    for name in sorted(local.names()):
        assert torch.equal(source.get(name), local.get(name))


@pytest.mark.parametrize("layout", ["original", "fused", "original-sharded", "fused-sharded"])
def test_the_same_tensors_as_in_the_folder(layout: str, saved: Callable[..., Path], repository_of: Any) -> None:
    folder = saved("mixtral", False, layout)
    local, remote = SafetensorsFolder(folder), RemoteSource(repository_of(folder))
    names = sorted(local.names())
    assert remote.names() == local.names()
    for name, tensor in zip(names, remote.get_many(names), strict=True):
        assert remote.shape(name) == local.shape(name) == tuple(tensor.shape)
        assert tensor.dtype == local.get(name).dtype
        assert torch.equal(tensor, local.get(name))
    assert torch.equal(remote.get(names[0]), local.get(names[0]))
    for ask in (remote.get, remote.shape, lambda name: remote.get_many([names[0], name])):
        with pytest.raises(KeyError, match="'nothing'"):
            ask("nothing")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn, torch.bool])
def test_dtypes_scalars_and_nothing(dtype: torch.dtype, tmp_path: Path, repository_of: Any) -> None:
    tensors = {
        "matrix": torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=torch.float32).to(dtype),
        "scalar": torch.tensor(1, dtype=torch.float32).to(dtype),
        "nothing": torch.zeros(3, 0).to(dtype),
    }
    (tmp_path / "m").mkdir()
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    read = dict(zip(tensors, RemoteSource(repository_of(tmp_path / "m")).get_many(list(tensors)), strict=True))
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape) == (dtype, tensor.shape)
        assert torch.equal(read[name].to(torch.float32), tensor.to(torch.float32))


def test_one_name_twice(source: RemoteSource, hub_here: Any) -> None:
    assert [tensor[0].item() for tensor in source.get_many(["b", "a", "b"])] == [1, 0, 1]
    assert hub_here.sent == 800
    assert source.get_many([]) == []


@pytest.mark.parametrize("layout", ["original", "original-sharded"])
def test_headers_first_and_then_what_is_asked_for(layout: str, saved: Any, repository_of: Any, hub_here: Any) -> None:
    folder = saved("mixtral", False, layout)
    shards = list(folder.glob("*.safetensors"))
    remote = RemoteSource(repository_of(folder))
    assert hub_here.log[0].path == "/api/models/org/tiny/revision/main"
    assert hub_here.sent == _headers(folder)
    assert len(hub_here.weights()) == 2 * len(shards)
    assert {remote.shape(name) for name in remote.names()} >= {(4, 16), (50, 16)}
    assert hub_here.sent == _headers(folder)  # shapes are in the headers
    hub_here.log.clear()
    asked = [ROUTER, EXPERT.format(0), EXPERT.format(3)]
    remote.get_many(asked)
    assert hub_here.sent == sum(_bytes_of(folder, name) for name in asked)
    assert all(request.status == 206 for request in hub_here.weights())


def test_tensors_of_one_shape_lie_one_behind_the_other(source: RemoteSource) -> None:
    read = source.get_many(["c", "a"])  # experts are stacked without a copy
    assert read[1].data_ptr() - read[0].data_ptr() == 400


def test_proxy(one_file: Path, hub_here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub_here.put("org/tiny", one_file)
    monkeypatch.setenv("HTTP_PROXY", constants.ENDPOINT)  # the server takes whole addresses too
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    template = "http://hub.invalid/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert RemoteSource(Repository("org/tiny", None)).get("b")[0] == 1


def test_neighbours_come_in_one_request(source: RemoteSource, hub_here: Any) -> None:
    source.get_many(["c", "a", "b"])
    assert [request.sent for request in hub_here.weights()] == [1200]
    hub_here.log.clear()
    source.get_many(["a", "c"])
    assert sorted(request.sent for request in hub_here.weights()) == [400, 400]


def test_large_tensors_come_in_bounded_requests(repository_of: Any, one_file: Path, hub_here: Any) -> None:
    source = RemoteSource(repository_of(one_file), largest=300)
    hub_here.log.clear()
    read = source.get_many(["a", "b", "c"])
    assert [tensor.tolist() for tensor in read] == [[n + i for i in range(100)] for n in range(3)]
    assert [request.sent for request in hub_here.weights()] == [300] * 4


def test_several_requests_on_the_way_but_not_any_number(repository_of: Any, one_file: Path, hub_here: Any) -> None:
    source = RemoteSource(repository_of(one_file), largest=40)
    hub_here.meet = 3
    source.get_many(["a", "b", "c"])
    assert 3 <= hub_here.most_at_once <= 8
    hub_here.most_at_once = hub_here.meet = 0
    source.get("d")
    assert hub_here.most_at_once == 1


@given(
    st.dictionaries(st.tuples(st.sampled_from("xy"), st.integers(0, 12)), st.integers(1, 12), min_size=1),
    st.integers(1, 9),
)
def test_requests_are_what_is_wanted_and_nothing_twice(spans: dict[tuple[str, int], int], largest: int) -> None:
    # Tensors of 5 bytes at most at multiples of 5 do not overlap.
    wanted = [(file, 5 * place, memoryview(bytearray(min(size, 5)))) for (file, place), size in spans.items()]
    files = {file: bytes(range(100)) for file in "xy"}
    parts = parts_of(wanted, largest)
    for part in parts:
        assert 0 < part.size <= largest
        offset = part.start
        for target in part.targets:
            target[:] = files[part.file][offset : offset + len(target)]
            offset += len(target)
    assert all(bytes(target) == files[file][start : start + len(target)] for file, start, target in wanted)
    assert sum(part.size for part in parts) == sum(len(target) for *_, target in wanted)
    ends = {(part.file, part.start + part.size): part.size for part in parts}
    assert all(ends.get((part.file, part.start), largest) == largest for part in parts)  # else it were one request


def test_parts_of_nothing() -> None:
    assert parts_of([], 9) == parts_of([("x", 3, memoryview(b""))], 9) == []
    assert Part("x", 3, ()).size == 0


def test_no_second_copy_in_memory(tmp_path: Path, repository_of: Any) -> None:
    (tmp_path / "m").mkdir()
    save_file({"a": torch.ones(4_000_000), "b": torch.zeros(9)}, tmp_path / "m" / "model.safetensors")
    source = RemoteSource(repository_of(tmp_path / "m"), largest=1 << 20)
    tracemalloc.start()
    try:
        # torch's own memory, where the tensor is, does not count.
        read = source.get("a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read.sum() == 4_000_000
    assert peak < 6_000_000  # a few pieces of 64 KB for each request, on both ends; the tensor has 16 MB


def test_all_reads_are_of_one_commit(repository_of: Any, one_file: Path, hub_here: Any, tmp_path: Path) -> None:
    repository = repository_of(one_file)
    source = RemoteSource(repository)
    (tmp_path / "newer").mkdir()
    save_file({"a": torch.zeros(100)}, tmp_path / "newer" / "model.safetensors")
    sha = hub_here.put("org/tiny", tmp_path / "newer")
    hub_here.signature += 1  # so that the hub is asked again
    hub_here.log.clear()
    assert source.get("a").tolist() == list(range(100))
    assert repository.sha != sha
    assert {request.port for request in hub_here.log} == {"hub", "storage"}
    assert all(repository.sha in request.path for request in hub_here.log)
    assert Repository("org/tiny", sha).sha == sha


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_token_goes_to_the_hub_alone(host: str, repository_of: Any, one_file: Path, hub_here: Any) -> None:
    hub_here.storage_host = host  # the second is the hub's own, at another port
    RemoteSource(repository_of(one_file)).get_many(["a", "c"])
    ports = {(request.port, request.authorization) for request in hub_here.log}
    assert ports == {("hub", "Bearer hf_secret"), ("storage", None)}


def test_storage_server_is_asked_directly_until_it_refuses(source: RemoteSource, hub_here: Any) -> None:
    source.get("a")
    assert [request.port for request in hub_here.log] == ["storage"]
    hub_here.signature += 1
    hub_here.log.clear()
    assert source.get("b")[0] == 1
    assert [(r.port, r.status) for r in hub_here.log] == [("storage", 403), ("hub", 302), ("storage", 206)]
    assert {r.authorization for r in hub_here.log if r.port == "storage"} == {None}


TRANSIENT_STATUSES = {
    "the connection ends in the middle": ("drop", None, {}),
    "twice": ("drop", None, {"times": 2}),
    "503": ("status", 503, {}),
    "500": ("status", 500, {}),
    "502": ("status", 502, {}),
    "504": ("status", 504, {}),
    "429": ("status", 429, {"headers": {"Retry-After": "0"}}),
    "no answer": ("stall", 0.6, {}),
    "too short": ("short", 3, {}),
    "too long": ("long", 3, {}),
    "too long, not said": ("chunked", 3, {}),
    "much too long, not said": ("chunked", 200_000, {}),
    "too short, not said": ("chunked", -3, {}),
    "another range": ("range", "bytes 0-399/1300", {}),
    "no range": ("range", "", {}),
    "range without a size": ("range", "bytes 0-399/*", {}),
    "the whole file": ("whole", None, {}),
    "compressed": ("gzip", None, {}),
    "the hub itself: 503": ("status", 503, {"port": "hub"}),
}


@pytest.mark.parametrize("case", TRANSIENT_STATUSES)
def test_what_passes_is_tried_again(
    case: str, repository_of: Any, one_file: Path, hub_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    kind, value, where = TRANSIENT_STATUSES[case]
    source = RemoteSource(repository_of(one_file))
    hub_here.signature += "port" in where  # so that the hub is asked at all
    hub_here.log.clear()
    hub_here.fail(kind, value, **where)
    read = source.get_many(["a", "b"])
    assert [tensor.tolist() for tensor in read] == [list(range(100)), list(range(1, 101))]
    assert len(hub_here.log) >= 2
    assert [fault.times for fault in hub_here.faults] == [0]


def test_broken_connection_goes_on_where_it_broke(source: RemoteSource, hub_here: Any, one_file: Path) -> None:
    hub_here.fail("drop")
    source.get_many(["a", "b", "c"])
    data = (one_file / "model.safetensors").stat().st_size - 1207
    ranges = [request.range for request in hub_here.weights()]
    assert ranges == [f"bytes={data}-{data + 1199}", f"bytes={data + 600}-{data + 1199}"]
    assert hub_here.sent == 1200


def test_nothing_is_kept_of_an_answer_that_was_too_long(tmp_path: Path, repository_of: Any, hub_here: Any) -> None:
    (tmp_path / "m").mkdir()
    save_file({"a": torch.arange(200_000.0)}, tmp_path / "m" / "model.safetensors")
    source = RemoteSource(repository_of(tmp_path / "m"))
    hub_here.log.clear()
    hub_here.fail("chunked", 100_000)
    assert torch.equal(source.get("a"), torch.arange(200_000.0))
    first, second = (request.range for request in hub_here.weights())
    assert first == second


def test_server_that_asks_to_wait_is_waited_for(source: RemoteSource, hub_here: Any) -> None:
    hub_here.fail("status", 429, headers={"Retry-After": "1"})
    began = time.monotonic()
    assert source.get("a")[3] == 3
    assert time.monotonic() - began >= 1


LASTING = {
    "drop": ("drop", None, {}, "the connection failed (RemoteProtocolError), 4 times"),
    "503": ("status", 503, {}, "the server answers 503, 4 times"),
    "429": (
        "status", 429, {"headers": {"Retry-After": "7200"}}, "the server answers 429, and asks to wait 7,200 s",
    ),
    "stall": ("stall", 0.6, {}, "the connection failed (ReadTimeout), 4 times"),
    "short": ("short", 3, {}, "the server sends 397 bytes in place of 400, 3 times"),
    "long": ("long", 3, {}, "the server sends 403 bytes in place of 400, 3 times"),
    "chunked": ("chunked", 3, {}, "the server sends more than the 400 bytes that were asked for, 3 times"),
    "range": ("range", "bytes 1-400/9", {}, "the server sends the range 'bytes 1-400/9' in place of {}, 3 times"),
    "size": ("range", "bytes {}/9999", {}, "the file had {size} bytes and now has 9,999, 3 times"),
    "whole": ("whole", None, {}, "the server, or a proxy before it, sends the whole file for a part, 3 times"),
    "gzip": ("gzip", None, {}, "the server sends compressed data, 3 times"),
}  # fmt: skip


@pytest.mark.parametrize("case", LASTING)
def test_what_lasts_is_one_line(
    case: str, repository_of: Any, one_file: Path, hub_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    kind, value, where, reason = LASTING[case]
    size = (one_file / "model.safetensors").stat().st_size
    span = f"{size - 1207}-{size - 808}"
    source = RemoteSource(repository_of(one_file, tries=4))
    hub_here.fail(kind, value.format(span) if kind == "range" else value, times=99, **where)
    assert _message(lambda: source.get("a")) == (
        f"model.safetensors of 'org/tiny@main' cannot be read from the hub: {reason.format(span, size=f'{size:,}')}; "
        f"{REMEDY}"
    )


def test_one_failure_stops_the_others(repository_of: Any, one_file: Path, hub_here: Any) -> None:
    # Otherwise a broken shard would be found out after everything else had been read.
    source = RemoteSource(repository_of(one_file, tries=1, first_wait=60.0), largest=8)
    hub_here.log.clear()
    hub_here.fail("status", 503)
    assert "the server answers 503; " in _message(lambda: source.get_many(["a", "b", "c"]))
    assert len(hub_here.weights()) < 100


def test_whoever_waits_for_another_try_is_stopped_too(
    repository_of: Any, one_file: Path, hub_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float | None] = []

    class Told(threading.Event):
        """As whoever waits for another try waits; nobody is let go but by being told."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return super().wait()

    monkeypatch.setattr("moe_claims.models.storage.hub_tensors.Event", Told)
    source = RemoteSource(repository_of(one_file, first_wait=60.0), largest=800)
    hub_here.fail("status", 503)
    hub_here.fail("status", 429, headers={"Retry-After": "9999"})
    assert "asks to wait 9,999 s; " in _message(lambda: source.get_many(["a", "b", "c"]))


@pytest.mark.parametrize(
    ("hub_id", "revision", "message"),
    [
        ("org/none", None, "there is no repository 'org/none' on the hub that you may read: check its name"),
        ("org/tiny", "v9", "the repository 'org/tiny' has no revision 'v9': check its name"),
    ],
)
def test_what_the_hub_does_not_have(
    hub_id: str, revision: str | None, message: str, one_file: Path, hub_here: Any
) -> None:
    hub_here.put("org/tiny", one_file)
    assert _message(lambda: Repository(hub_id, revision)) == message


def test_gated(repository_of: Any, one_file: Path, hub_here: Any) -> None:
    repository = repository_of(one_file)
    hub_here.gated.add("org/tiny")
    expected = "'org/tiny@main' is gated: accept its terms on the hub and log in with 'hf auth login'"
    assert _message(repository.config) == _message(lambda: RemoteSource(repository)) == expected
    assert _message(lambda: open_model(resolve("hub:org/tiny@main"))) == expected
    assert hub_here.weights() == []


def test_forbidden_and_vanished(repository_of: Any, one_file: Path, hub_here: Any) -> None:
    repository = repository_of(one_file)
    hub_here.fail("status", 403, port="hub")
    assert _message(lambda: RemoteSource(repository)) == (
        "model.safetensors of 'org/tiny@main' cannot be read from the hub: the server answers 403; "
        "check your access to it"
    )
    (one_file / "model.safetensors").unlink()
    assert _message(lambda: RemoteSource(repository)) == (
        "model.safetensors of 'org/tiny@main' is listed on the hub, but is not there: try another revision"
    )


def test_hub_that_cannot_be_reached(
    hub_here: Any, monkeypatch: pytest.MonkeyPatch, repository_of: Any, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert _message(lambda: repository_of(tmp_path)) == (
        "'org/tiny@main' is not in the local cache and the hub cannot be reached: the connection failed "
        "(ConnectError), 5 times; connect, or give the folder of a copy"
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>", "its answer is not understood (JSONDecodeError)"),
        (b"[]", "its answer is not understood (TypeError)"),
        (b'{"id": "org/tiny", "siblings": []}', "it does not say which commit that is"),
        (b'{"id": "org/tiny", "sha": "../../etc", "siblings": []}', "it does not say which commit that is"),
    ],
)
def test_answer_that_is_none(answer: bytes, reason: str, repository_of: Any, hub_here: Any, tmp_path: Path) -> None:
    hub_here.fail("body", answer, port="hub", path="/api/", times=9)
    assert _message(lambda: repository_of(tmp_path)) == (
        f"'org/tiny@main' is not in the local cache and the hub cannot be reached: {reason}, 3 times; connect, or "
        "give the folder of a copy"
    )


def _damage(path: Path, case: str) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if case == "endless":
        path.write_bytes((10**15).to_bytes(8, "little") + content[8:])
    elif case == "empty":
        path.write_bytes(bytes(8) + content[8:])
    elif case == "no JSON":
        path.write_bytes(content[:8] + b"x" * length + content[8 + length :])
    elif case == "truncated":
        path.write_bytes(content[:-1])
    elif case == "outside":
        header["a"]["data_offsets"] = [10**9, 10**9 + 400]
        made = json.dumps(header).encode()
        path.write_bytes(len(made).to_bytes(8, "little") + made + content[8 + length :])
    else:
        path.write_bytes(content[:5])


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("endless", "its header of 1,000,000,000,000,000 bytes does not fit into {:,} bytes"),
        ("empty", "Expecting value: line 1 column 1 (char 0)"),
        ("no JSON", "Expecting value: line 1 column 1 (char 0)"),
        ("truncated", "'d' should take 7 bytes from 1,200 to 1,207 of 1,206"),
        ("outside", "'a' should take 400 bytes from 1,000,000,000 to 1,000,000,400 of 1,207"),
    ],
)
def test_damaged_header(case: str, reason: str, one_file: Path, repository_of: Any, hub_here: Any) -> None:
    path = one_file / "model.safetensors"
    _damage(path, case)
    assert _message(lambda: RemoteSource(repository_of(one_file))) == (
        "model.safetensors of 'org/tiny@main' cannot be read as safetensors: "
        f"{reason.format(path.stat().st_size)}; try another revision"
    )
    assert hub_here.sent < 1000  # nothing of the tensors


def test_file_of_five_bytes(one_file: Path, repository_of: Any) -> None:
    _damage(one_file / "model.safetensors", "cut off")
    message = _message(lambda: RemoteSource(repository_of(one_file)))
    assert message.startswith("model.safetensors of 'org/tiny@main' cannot be read from the hub: the server sends the")


def test_index(tmp_path: Path, repository_of: Any) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    save_file({"a": torch.zeros(2)}, folder / "one.safetensors")
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, folder / "other.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}}))
    source = RemoteSource(repository_of(folder))
    assert source.names() == {"a", "b"}
    assert source.get("a").tolist() == [0, 0]  # a file that the index does not name is not there
    with pytest.raises(KeyError, match="'b'"):
        source.get("b")
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    assert _message(lambda: RemoteSource(repository_of(folder))) == (
        "'org/tiny@main' lacks shard two.safetensors of the 2 in its index: try another revision"
    )
    index.write_text("[]")
    assert _message(lambda: RemoteSource(repository_of(folder))) == (
        "'model.safetensors.index.json of org/tiny@main' is not an index of safetensors files (TypeError): "
        "try another revision"
    )


def test_pickle_alone_is_refused_unread(tmp_path: Path, repository_of: Any, hub_here: Any) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert _message(lambda: RemoteSource(repository_of(folder))) == (
        "'org/tiny@main' holds pickled weights (pytorch_model.bin), which are never loaded: if you trust them, rewrite "
        'each file in a copy of it with python -c "import torch; from safetensors.torch import save_file; '
        "save_file(torch.load('pytorch_model.bin', weights_only=True), 'pytorch_model.safetensors')\""
    )
    assert not any("pytorch_model" in request.path for request in hub_here.log)


def test_small_files(one_file: Path, repository_of: Any, hub_here: Any, tmp_path: Path) -> None:
    repository = repository_of(one_file)
    assert (repository.config(), repository.tokenizer()) == ({}, None)
    for kind, value in (("drop", None), ("status", 503), ("status", 206), ("gzip", None)):
        hub_here.fail(kind, value, port="hub", path="config.json")
        assert repository.config() == {}
    # Asked for as it is, but a mirror may compress what it likes.
    hub_here.fail(
        "body", gzip.compress(b'{"a": 1}'), port="hub", path="config.json", headers={"Content-Encoding": "gzip"}
    )
    assert repository.config() == {"a": 1}
    (one_file / "config.json").write_text("[]")
    (one_file / "tokenizer.json").write_text("{")
    repository = repository_of(one_file)
    assert repository.tokenizer() == ("tokenizer.json of org/tiny@main", b"{")
    assert _message(repository.config) == (
        "'config.json of org/tiny@main' is not the configuration of a model: it holds no JSON object"
    )
    (tmp_path / "empty").mkdir()
    assert _message(repository_of(tmp_path / "empty").config) == (
        "'org/tiny@main' has no config.json: give the repository of a saved model"
    )


def test_endless_small_file_is_left(one_file: Path, repository_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_claims.models.storage.hub_repository._SMALL", 50)
    (one_file / "config.json").write_text(json.dumps({"long": "x" * 100}))
    expected = "config.json of 'org/tiny@main' has more than 50 bytes, which cannot be"
    assert _message(repository_of(one_file).config) == expected


def test_headers_of_many_files_show_progress(
    tmp_path: Path, repository_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for number in range(60):
        save_file({f"t{number}": torch.zeros(1)}, folder / f"model-{number:05}-of-00060.safetensors")
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    monkeypatch.setattr(progress, "_quiet", False)  # whatever another test has left
    assert len(RemoteSource(repository_of(folder)).names()) == 60
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 60
    assert said[-1].startswith("reading headers of org/tiny@main: 60/60 files in ")


# --- sent to another process ---------------------------------------------------------------------


def test_a_pickled_source_reads_the_same_commit(one_file: Path, repository_of: Any, hub_here: Any) -> None:
    source = RemoteSource(repository_of(one_file), largest=300)
    source.get("a")  # from where the hub sent on to, by a signed address
    pickled = pickle.dumps(source)
    assert b"signature" not in pickled
    assert len(pickled) < 2_000
    hub_here.log.clear()
    again = pickle.loads(pickled)
    assert again.names() == source.names()
    assert torch.equal(again.get("b"), source.get("b"))
    assert not [asked for asked in hub_here.log if "/api/" in str(asked)]  # the revision is not looked up anew
