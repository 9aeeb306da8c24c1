"""A hub on this machine that takes datasets: the part of the protocol that results are published by, and its log.

As the real one it has commits that are whole or not there, and refuses one that is not on top of the last.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Dataset:
    """A repository: what is in it now, and the commits that made it so."""

    private: bool
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b""})
    commits: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return sha1(f"{len(self.commits)} {sorted(self.files)}".encode()).hexdigest()


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    authorization: str | None
    body: bytes


class Hub:
    """Datasets by name, everything that was asked, and what goes wrong next."""

    def __init__(self) -> None:
        self.datasets: dict[str, Dataset] = {}
        self.log: list[Request] = []
        self.faults: list[tuple[str, int | str]] = []
        """(part of a path, what the next request to it is answered with): a status, ``drop`` (the connection ends
        before anything is done), ``lost`` (it ends when all is done), or ``nonsense``."""
        self.before_commit: Any = None
        """Called before a commit is looked at, as if somebody else were quicker."""

    def fault_of(self, path: str) -> int | str | None:
        for number, (part, what) in enumerate(self.faults):
            if part in path:
                del self.faults[number]
                return what
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    @property
    def _here(self) -> str:
        return f"http://{self.headers['Host']}"

    def log_message(self, *_: Any) -> None:
        """The log is elsewhere."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append(Request(self.command, path, self.headers.get("Authorization"), body))
        fault = self.hub.fault_of(path)
        if fault == "drop":
            return self._hang_up()
        if isinstance(fault, int):
            return self._say(fault, {"error": "no"})
        status, answer = self._act(path, body)
        if fault == "lost":
            return self._hang_up()
        return self._say(status, {} if fault == "nonsense" else answer)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def _say(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(content)

    def _act(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"warnings": [], "errors": []}
        found = re.fullmatch(r"/api/datasets/([^/]+/[^/]+?)(?:/(preupload|commit)/main)?", path)
        if found is None or found[1] not in self.hub.datasets:
            return 404, {}
        dataset = self.hub.datasets[found[1]]
        if found[2] == "preupload":
            return 200, {
                "files": [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
            }
        if found[2] == "commit":
            return self._commit(found[1], dataset, body)
        siblings = [{"rfilename": name} for name in dataset.files]
        return 200, {"id": found[1], "sha": dataset.sha, "private": dataset.private, "siblings": siblings}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        assert asked["type"] == "dataset"
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.datasets:
            return 409, {"error": "You already created this dataset repo", "url": f"{self._here}/datasets/{name}"}
        private = asked.get("private", asked.get("visibility") == "private")  # the latter of later clients
        self.hub.datasets[name] = Dataset(private)
        return 200, {"url": f"{self._here}/datasets/{name}"}

    def _commit(self, name: str, dataset: Dataset, body: bytes) -> tuple[int, Any]:
        if self.hub.before_commit is not None:
            self.hub.before_commit()
        header, *rest = [json.loads(line) for line in body.splitlines()]
        if header["value"].get("parentCommit") not in (None, dataset.sha):
            return 412, {"error": "the branch has moved"}
        assert {line["key"] for line in rest} == {"file"}
        dataset.files |= {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in rest}
        dataset.commits.append(header["value"])
        return 200, {"commitUrl": f"{self._here}/datasets/{name}/commit/{dataset.sha}", "commitOid": dataset.sha}


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The address of the hub, for the length of a block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
