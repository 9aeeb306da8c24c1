"""A hub on this machine: the part of the protocol that models are read by, a log of all requests, and faults on order.

Two ports, as the real one has two kinds of hosts: the hub answers questions about repositories and gives small files,
and for weights sends on to a storage server under a signed address.
"""

import json
import mmap
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_PIECE = 1 << 16


@dataclass(frozen=True)
class Request:
    """What somebody asked for, and how much was sent."""

    port: str
    """``hub`` or ``storage``."""
    method: str
    path: str
    range: str | None
    authorization: str | None
    status: int
    sent: int
    """Bytes of the body."""


@dataclass
class Fault:
    """What goes wrong with the next requests whose port and path fit.

    Kinds: ``drop`` (the connection ends in the middle of the body), ``stall`` (nothing comes for ``value`` seconds),
    ``status`` (``value`` is sent in place of the file), ``body`` (``value`` is), ``short`` and ``long`` (so many bytes
    fewer or more than were asked for, declared as such), ``chunked`` (``value`` bytes more than were asked for, or
    fewer, and none declared), ``whole`` (the whole file in place of a part), ``range`` (``value`` as Content-Range),
    ``gzip`` (said to be compressed).
    """

    kind: str
    value: Any = None
    times: int = 1
    port: str = "storage"
    path: str = ".safetensors"
    headers: Mapping[str, str] = field(default_factory=dict)


class Hub:
    """Repositories by name, revisions by repository, files by commit."""

    def __init__(self) -> None:
        self.commits: dict[tuple[str, str], Path] = {}
        self.revisions: dict[tuple[str, str], str] = {}
        self.gated: set[str] = set()
        self.faults: list[Fault] = []
        self.most_at_once = 0
        self.meet = 0
        """So many requests must have been on their way at once before the storage server answers any."""
        self.storage_host = "localhost"
        """Another name than the hub's, as in the world: some versions of the client take ports for one host."""
        self.signature = 0
        """Of the addresses of the storage server; those of before are refused."""
        self._at_once = 0
        self._lock = threading.Condition()
        self._log: list[Request] = []
        self._answering = 0
        self._idle = threading.Condition()

    @property
    def log(self) -> list[Request]:
        """Everything that was asked, once all answers are out: a client may have the last one before its line is."""
        with self._idle:
            assert self._idle.wait_for(lambda: self._answering == 0, timeout=10)
        return self._log

    @contextmanager
    def answering(self) -> Iterator[list[Request]]:
        with self._idle:
            self._answering += 1
        try:
            yield self._log
        finally:
            with self._idle:
                self._answering -= 1
                self._idle.notify_all()

    def put(self, hub_id: str, folder: Path, *, revision: str = "main") -> str:
        """A new commit with the files of a folder; its SHA."""
        sha = sha256(f"{hub_id} {revision} {folder} {len(self.commits)}".encode()).hexdigest()[:40]
        self.commits[hub_id, sha] = folder
        self.revisions[hub_id, revision] = self.revisions[hub_id, sha] = sha
        return sha

    def fail(self, kind: str, value: Any = None, **where: Any) -> None:
        """Orders a fault; see ``Fault``."""
        self.faults.append(Fault(kind, value, **where))

    def weights(self) -> list[Request]:
        """Requests to the storage server, which has nothing else."""
        return [request for request in self.log if request.port == "storage" and request.method == "GET"]

    @property
    def sent(self) -> int:
        """Bytes of weights."""
        return sum(request.sent for request in self.weights())

    def fault_of(self, port: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.port == port and fault.path in path:
                    fault.times -= 1
                    return fault
        return None

    @contextmanager
    def busy(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self._lock.notify_all()
            assert self._lock.wait_for(lambda: self.most_at_once >= self.meet, timeout=60)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub
    port: str
    storage: int

    def log_message(self, *_: Any) -> None:
        """The log is elsewhere."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever is sent nonsense hangs up
            super().handle()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        with self.hub.answering() as log:
            self._sent, self._status = 0, 0
            self._act()
            asked = self.headers.get("Range"), self.headers.get("Authorization")
            path = unquote(urlsplit(self.path).path)
            log.append(Request(self.port, self.command, path, *asked, self._status, self._sent))

    def _act(self) -> None:
        path = unquote(urlsplit(self.path).path)
        try:
            fault = self.hub.fault_of(self.port, path)
            if fault is not None and fault.kind == "stall":
                time.sleep(fault.value)
            if fault is not None and fault.kind == "body":
                self._say(200, fault.headers, fault.value)
            elif fault is not None and fault.kind == "status":
                self._say(fault.value, fault.headers, b"")
            elif self.port == "storage":
                with self.hub.busy():
                    self._store(path, fault)
            elif path.startswith("/api/models/"):
                self._api(path.removeprefix("/api/models/"))
            else:
                self._resolve(path, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._begin(status, {"Content-Length": str(len(body)), **headers})
        self._body(body)

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes | memoryview) -> None:
        if self.command == "HEAD":
            return
        for start in range(0, len(body), _PIECE):
            self._sent += self.wfile.write(body[start : start + _PIECE])

    def _refuse(self, status: int, code: str) -> None:
        self._say(status, {"X-Error-Code": code}, b"")

    def _api(self, path: str) -> None:
        found = re.fullmatch(r"([^/]+/[^/]+)(?:/(refs)|/(?:(revision|tree)/(.+?))?)?/?", path)
        if found is None:
            return self._say(404, {}, b"")
        hub_id, what, revision = found[1], found[2] or found[3], found[4] or "main"
        if not any(known == hub_id for known, _ in self.hub.commits):
            return self._refuse(404, "RepoNotFound")
        if what == "refs":
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha}
                for (known, name), sha in self.hub.revisions.items()
                if known == hub_id
            ]
            refs = {"branches": branches, "converts": [], "tags": []}
            return self._say(200, {"Content-Type": "application/json"}, json.dumps(refs).encode())
        sha = self.hub.revisions.get((hub_id, revision))
        if sha is None:
            return self._refuse(404, "RevisionNotFound")
        folder = self.hub.commits[hub_id, sha]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        answer: Any = {"id": hub_id, "modelId": hub_id, "sha": sha, "siblings": [{"rfilename": name} for name in names]}
        if what == "tree":
            answer = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": _etag(path)}
                for name, path in zip(names, files, strict=True)
            ]
        return self._say(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _resolve(self, path: str, fault: Fault | None) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if found is None:  # the client has questions of its own
            return self._say(404, {}, b"")
        hub_id, revision, name = found.groups()
        if hub_id in self.hub.gated:
            return self._refuse(403, "GatedRepo")
        sha = self.hub.revisions.get((hub_id, revision))
        if sha is None:
            return self._refuse(404, "RevisionNotFound")
        file = self.hub.commits[hub_id, sha] / name
        if not file.exists():
            return self._refuse(404, "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{_etag(file)}"', "Accept-Ranges": "bytes"}
        if name.endswith(".safetensors"):
            headers |= {"X-Linked-Size": str(file.stat().st_size), "X-Linked-ETag": f'"{_etag(file)}"'}
            headers["Location"] = (
                f"http://{self.hub.storage_host}:{self.storage}/{hub_id}/{sha}/{name}?signature={self.hub.signature}"
            )
            return self._say(302, headers, b"")
        return self._file(file, fault, headers)

    def _store(self, path: str, fault: Fault | None) -> None:
        if urlsplit(self.path).query != f"signature={self.hub.signature}":
            return self._say(403, {}, b"")
        org, name, sha, file = path.removeprefix("/").split("/", 3)
        return self._file(self.hub.commits[f"{org}/{name}", sha] / file, fault, {"Accept-Ranges": "bytes"})

    def _file(self, path: Path, fault: Fault | None, headers: dict[str, str]) -> None:
        content = _content(path)
        kind, value = (fault.kind, fault.value) if fault is not None else ("", None)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        status = 200
        first, last = 0, len(content) - 1
        if asked is not None and kind != "whole":
            status, first, last = 206, int(asked[1]), min(int(asked[2]), last)
            headers["Content-Range"] = value if kind == "range" else f"bytes {first}-{last}/{len(content)}"
            if first > last:
                return self._say(416, {}, b"")
        body = content[first : last + 1]
        if kind in ("short", "long", "chunked"):
            more = -value if kind == "short" else value
            body = body[:more] if more < 0 else memoryview(bytes(body) + b"\0" * more)
        if kind == "gzip":
            headers["Content-Encoding"] = "gzip"
        if kind == "chunked":
            self._begin(status, headers | {"Transfer-Encoding": "chunked"})
            self.wfile.write(b"%x\r\n" % len(body))
            self._body(body)
            self.wfile.write(b"\r\n0\r\n\r\n")
            return None
        self._begin(status, headers | {"Content-Length": str(len(body))})
        self._body(body[: len(body) // 2] if kind == "drop" else body)
        self.close_connection = self.close_connection or kind == "drop"
        return None


def _content(path: Path) -> memoryview:
    """Not read into memory: a test looks at how much of that its process takes."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b"")


def _etag(path: Path) -> str:
    return sha256(_content(path)).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Both ports, for the length of a block; the address of the hub."""
    servers = []
    storage = 0
    try:
        for port in ("storage", "hub"):
            handler = type("Handler", (_Handler,), {"hub": hub, "port": port, "storage": storage})
            server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            server.daemon_threads = True
            storage = storage or server.server_address[1]
            servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{servers[-1].server_address[1]}"
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
