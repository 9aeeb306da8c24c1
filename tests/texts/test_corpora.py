"""Published corpora: downloaded by the real libraries from a hub on loopback; and what is said when they cannot be."""

import hashlib
import io
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
from hypothesis import given
from hypothesis import strategies as st

from moe_claims._util.optional import install_command
from moe_claims.errors import MoeClaimsError, TextError, UsageError
from moe_claims.texts import PUBLISHED, check_name, load
from moe_claims.texts.corpora import CORPORA, articles

# As in WikiText: rows are lines, blank ones are empty, and an equation broken over lines looks like a title.
LINES = [
    "",
    " = First article = \n",
    "",
    " It begins here . \n",
    " and k = \n",
    " = 1 / s and a nominal k = \n",
    " 1 . \n",
    "",
    " = = A section = = \n",
    "",
    " More of the first . \n",
    "",
    " = E = mc2 = \n",
    "",
    " The second . \n",
]
FIRST = (
    "= First article = \n It begins here . \n and k = \n = 1 / s and a nominal k = \n 1 . \n = = A section = = \n"
    " More of the first ."
)
EXPECTED = {
    "wikitext103": [FIRST, "= E = mc2 = \n The second ."],
    "gsm8k": ["How many?\n\n3 = <<1+2=3>>3\n#### 3", "And now?\n\n  4"],
    "magicoder": [f"Write {i}\n\n```python\nprint({i})\n```" for i in range(1_000)],
}


def _parquet(columns: dict[str, list[str]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


CONTENT = {
    "wikitext103": _parquet({"text": LINES}),
    "gsm8k": _parquet({"answer": ["3 = <<1+2=3>>3\n#### 3", "  4"], "question": ["How many?", "And now?"]}),
    "magicoder": "".join(
        json.dumps({"instruction": f"Write {i}", "response": f"```python\nprint({i})\n```"}) + "\n"
        for i in range(1_010)
    ).encode(),
}


@dataclass(frozen=True)
class Download:
    """What a process printed that loaded every corpus from a hub, what it asked for, and the cache it left."""

    done: subprocess.CompletedProcess[str]
    asked: list[str]
    home: Path


_LOAD = """
import json
from moe_claims import texts
print(json.dumps({name: [(t := texts.load(name)).passages, t.source, t.revision] for name in texts.PUBLISHED}))
"""


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Download:
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        """As much of the hub's protocol as a file of a repository takes."""

        def do_HEAD(self) -> None:
            asked.append(self.path)
            found = re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", self.path)
            wanted = {(c.hub_id, c.revision, c.path): CONTENT[name] for name, c in CORPORA.items()}
            self.body = b"" if found is None else wanted.get((found[1], found[2], found[3]), b"")
            self.send_response(200 if self.body else 404)
            self.send_header("ETag", hashlib.sha256(self.body).hexdigest())
            self.send_header("Content-Length", str(len(self.body)))
            if found is not None:
                self.send_header("X-Repo-Commit", found[2])
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(self.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = tmp_path_factory.mktemp("home")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOAD],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))},
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HOME": str(home),
                "NO_PROXY": "127.0.0.1",
                "TQDM_POSITION": "-1",  # has bars drawn where there is no terminal, so that they would be seen
                "USE_TORCH": "0",  # nothing here needs it, and it takes seconds to import
            },
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.shutdown()
        server.server_close()
    return Download(done, asked, home)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which is switched off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def _put(cache: Path, name: str, content: bytes, revision: str) -> None:
    repository = cache / f"datasets--{CORPORA[name].hub_id.replace('/', '--')}"
    path = repository / "snapshots" / revision / CORPORA[name].path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)


def _message(make: Callable[[], object], kind: type[MoeClaimsError]) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_download(download: Download) -> None:
    # No bar, no warning and no log of a library, although the environment asks for bars.
    assert (download.done.returncode, download.done.stderr) == (0, "")
    found = json.loads(download.done.stdout)
    assert found == {name: [EXPECTED[name], c.source, c.revision] for name, c in CORPORA.items()}


def test_one_file_at_one_revision_is_all_that_is_asked_for(download: Download) -> None:
    files = {f"/datasets/{c.hub_id}/resolve/{c.revision}/{c.path}" for c in CORPORA.values()}
    assert {path for path in download.asked if "/resolve/" in path or path.startswith("/api/datasets")} == files


@pytest.mark.parametrize("name", PUBLISHED)
def test_cached_offline(name: str, download: Download, offline: Path) -> None:
    shutil.copytree(download.home / "hub", offline, symlinks=True)
    text = load(name)
    assert (text.name, text.source, text.revision) == (name, CORPORA[name].source, CORPORA[name].revision)
    assert list(text.passages) == EXPECTED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_corpus_that_is_not_cached_offline(name: str, offline: Path) -> None:
    corpus = CORPORA[name]
    assert _message(lambda: load(name), UsageError) == (
        f"'{name}' ({corpus.hub_id}, revision {corpus.revision}) is not in the local cache and the hub is switched "
        f"off (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set): unset it, or run 'hf download {corpus.hub_id} "
        f"{corpus.path} --repo-type dataset --revision {corpus.revision}' on a connected machine, or give a local file"
    )


def test_other_revision_in_the_cache_does_not_stand_in(offline: Path) -> None:
    _put(offline, "gsm8k", CONTENT["gsm8k"], "f" * 40)
    assert "is not in the local cache" in _message(lambda: load("gsm8k"), UsageError)


@pytest.mark.parametrize("switch", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_either_switch_keeps_from_the_network(switch: str, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = datasets.config if switch == "HF_HUB_OFFLINE" else constants
    monkeypatch.setattr(other, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("the network was used"))
    assert "the hub is switched off" in _message(lambda: load("gsm8k"), UsageError)


def test_hub_that_does_not_answer(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, local_files_only: bool, **__: object) -> str:
        assert not local_files_only
        raise LocalEntryNotFoundError("several\nlines") from ConnectionError()

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    message = _message(lambda: load("wikitext103"), UsageError)
    assert " is not in the local cache and the hub does not give it (ConnectionError): connect, or run '" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [("gsm8k", b"no parquet"), ("gsm8k", _parquet({"question": ["one"]})), ("magicoder", b'{"instruction": "one"]')],
)
def test_damaged_copy(name: str, content: bytes, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = CORPORA[name]
    _put(offline, name, content, corpus.revision)
    decided = constants.HF_HUB_DISABLE_PROGRESS_BARS
    if decided is None:
        enable_progress_bars()
    loggers = [logging.getLogger(library) for library in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", logged.append)
    for logger in loggers:
        monkeypatch.setattr(logger, "handlers", [handler])
    message = _message(lambda: load(name), TextError)
    assert message.startswith(f"'{name}' cannot be read from '{offline}/datasets--{corpus.hub_id.replace('/', '--')}/")
    assert message.endswith(f"): if this copy is damaged, run '{corpus.command} --force-download'")
    assert logged == []
    assert [logger.level for logger in loggers] == levels
    assert are_progress_bars_disabled() == bool(decided)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in PUBLISHED:
        expected = f"'{name}' needs the library 'datasets', which is not installed: {install_command('data')}"
        assert _message(lambda name=name: check_name(name), UsageError) == expected  # type: ignore[misc]
        assert _message(lambda name=name: load(name), UsageError) == expected  # type: ignore[misc]


def test_every_corpus_is_pinned() -> None:
    for corpus in CORPORA.values():
        assert re.fullmatch(r"[0-9a-f]{40}", corpus.revision)
        assert re.fullmatch(r"[\w-]+/[\w-]+", corpus.hub_id)
        assert corpus.path.endswith((".parquet", ".jsonl"))


@given(
    st.lists(st.sampled_from(["", " = A = \n", " = = B = = \n", " = = \n", " c . \n", " x = = y = \n"]), max_size=30)
)
def test_articles_lose_no_line_and_begin_with_titles(lines: list[str]) -> None:
    found = [article for article in articles((line,) for line in lines) if article]
    words = [line.strip() for line in lines if line.strip()]
    assert [line.strip() for article in found for line in article.split("\n")] == words
    assert all(article.split("\n")[0].strip() == "= A =" for article in found[1:])
    blank = [True, *(not line for line in lines), True]
    titles = sum(line == " = A = \n" and blank[i] and blank[i + 2] for i, line in enumerate(lines))
    assert len(found) - titles in (0, 1)  # one more where lines stand before the first title
