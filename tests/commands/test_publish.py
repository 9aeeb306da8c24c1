"""``publish`` against a hub on this machine: what it is sent, by whom, and what it has afterwards."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.commands.main import main
from moe_claims.report import markdown, results

Make = Callable[..., dict[str, Any]]
TO = ["--to", "org/found"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_results_file: Make) -> Callable[..., str]:
    """Writes a document, or a small one, to results.json in the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(document: dict[str, Any] | None = None) -> str:
        results.write(Path("results.json"), a_results_file({}) if document is None else document)
        return "results.json"

    return write


def test_nothing_is_sent_unless_it_is_said(
    hub_here: Any, file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", file(), *TO]) == 0
    said = capsys.readouterr().out
    assert said.startswith("would be uploaded to the dataset org/found, which must be private and is made so if there")
    size = Path("results.json").stat().st_size
    assert f"/results.json  {size:>9,} bytes\n" in said
    assert "README.md" in said and "report.md" in said and "rows-2.jsonl" in said
    assert said.endswith("Nothing was sent, and the hub was not asked: add --yes.\n")
    assert "which must be public" in (main(["publish", "results.json", *TO, "--public"]), capsys.readouterr().out)[1]
    assert hub_here.log == []


def test_one_commit_holds_everything_in_a_private_dataset(
    hub_here: Any, file: Callable[..., str], a_results_file: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    document = a_results_file({}, {"claim": "routing-runs", "verdict": "absent"})
    assert main(["publish", file(document), *TO, "--yes", "--message", "first run"]) == 0
    dataset = hub_here.datasets["org/found"]
    assert dataset.private
    assert [commit["summary"] for commit in dataset.commits] == ["first run"]
    (run,) = {name.split("/")[1] for name in dataset.files if name.startswith("runs/")}
    assert run.startswith("2026-01-02-")
    assert set(dataset.files) == {
        ".gitattributes", "README.md", f"runs/{run}/results.json", f"runs/{run}/report.md", f"runs/{run}/rows-2.jsonl",
    }  # fmt: skip
    assert dataset.files[f"runs/{run}/results.json"] == Path("results.json").read_bytes()
    assert dataset.files[f"runs/{run}/report.md"].decode() == markdown.render(document)
    rows = [json.loads(line) for line in dataset.files[f"runs/{run}/rows-2.jsonl"].splitlines()]
    assert [(row["run"], row["claim"], row["verdict"]) for row in rows] == [
        (run, "look_into_moes/router-norm", "replicated"),
        (run, "look_into_moes/routing-runs", "absent"),
    ]
    assert capsys.readouterr().out == f"published in org/found (private), in runs/{run}\n"
    assert {request.authorization for request in hub_here.log} == {"Bearer hf_secretsecret"}


def test_versions_stand_side_by_side_and_nothing_is_written_over(
    hub_here: Any, file: Callable[..., str], a_results_file: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", file(), *TO, "--yes"]) == 0
    dataset = hub_here.datasets["org/found"]
    dataset.files["README.md"] = b"edited by hand"
    before = dict(dataset.files)
    assert main(["publish", "results.json", *TO, "--yes"]) == 0
    assert "nothing was sent: org/found has these results already, in runs/2026-01-02-" in capsys.readouterr().out
    assert len(dataset.commits) == 1
    assert main(["publish", file(a_results_file({"verdict": "absent"})), *TO, "--yes"]) == 0
    assert len(dataset.commits) == 2
    assert {name: dataset.files[name] for name in before} == before
    assert len(dataset.files) == len(before) + 3


def test_a_public_dataset_is_asked_for_by_name(
    hub_here: Any, dataset: Any, file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    hub_here.datasets["org/open"] = dataset(private=False)
    assert main(["publish", file(), "--to", "org/open", "--yes"]) == 4
    assert "nothing was sent: 'org/open' is public, and --public was not given" in capsys.readouterr().err
    hub_here.datasets["org/closed"] = dataset(private=True)
    assert main(["publish", "results.json", "--to", "org/closed", "--yes", "--public"]) == 4
    assert "nothing was sent: 'org/closed' is private, and --public does not change that" in capsys.readouterr().err
    assert not any(found.commits for found in hub_here.datasets.values())
    assert {request.method for request in hub_here.log} == {"GET"}
    for name in ("org/open", "org/new"):
        assert main(["publish", "results.json", "--to", name, "--yes", "--public"]) == 0
        assert len(hub_here.datasets[name].commits) == 1
        assert not hub_here.datasets[name].private


def test_a_dataset_that_is_public_against_the_request_gets_nothing(
    hub_here: Any, dataset: Any, file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Somebody makes it between the question and the request; the hub then says that it is there.
    hub_here.faults.append(("/api/datasets/org/found", 404))
    hub_here.datasets["org/found"] = dataset(private=False)
    assert main(["publish", file(), *TO, "--yes"]) == 4
    assert "'org/found' is public, and --public was not given" in capsys.readouterr().err
    assert hub_here.datasets["org/found"].commits == []


@pytest.mark.parametrize(
    ("place", "fault", "message"),
    [
        ("/api/datasets/", 401, "the hub does not accept the token: log in again with 'hf auth login'"),
        ("/api/datasets/", 403, "the hub does not let the token write there: give it write access"),
        ("/api/datasets/", 500, "the hub answers 500: try again later"),
        ("/api/datasets/", "drop", "the hub cannot be reached (RemoteProtocolError): check the network and try again"),
        ("/api/repos/create", 403, "the hub does not let the token write there: give it write access"),
        ("/api/repos/create", 404, "the hub knows no such dataset or organisation: check the name"),
        ("/preupload/", 403, "the hub does not let the token write there: give it write access"),
        ("/preupload/", "nonsense", "the hub answers something else than was asked for (ValueError)"),
        ("/commit/", 403, "the hub does not let the token write there: give it write access"),
        ("/commit/", 413, "the hub answers 413: try again later"),
        ("/commit/", 500, "the hub answers 500: try again later"),
        ("/commit/", "drop", "the hub cannot be reached (RemoteProtocolError): check the network and try again"),
    ],
)
def test_what_the_hub_refuses_is_one_line_and_leaves_nothing(
    place: str,
    fault: int | str,
    message: str,
    hub_here: Any,
    file: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub_here.faults.append((place, fault))
    assert main(["publish", file(), *TO, "--yes"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    unknown = (place == "/commit/" and fault in (500, "drop")) or fault == "nonsense"
    sure = "whether the results are in 'org/found' is not known" if unknown else "nothing was published in 'org/found'"
    assert said.err.startswith(f"error: {sure}")
    assert said.err.rstrip("\n").endswith(message) or message in said.err
    assert "secret" not in said.err
    # Half of it is never there: an empty dataset at most.
    assert all(set(found.files) == {".gitattributes"} for found in hub_here.datasets.values())
    assert main(["publish", "results.json", *TO, "--yes"]) == 0
    assert len(hub_here.datasets["org/found"].commits) == 1


def test_an_answer_that_is_lost_is_found_out_the_next_time(
    hub_here: Any, file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    hub_here.faults.append(("/commit/", "lost"))
    assert main(["publish", file(), *TO, "--yes"]) == 4
    assert "is not known, all or none (given again, they are not sent twice)" in capsys.readouterr().err
    assert len(hub_here.datasets["org/found"].commits) == 1
    assert main(["publish", "results.json", *TO, "--yes"]) == 0
    assert "has these results already" in capsys.readouterr().out
    assert len(hub_here.datasets["org/found"].commits) == 1


def test_what_somebody_else_commits_meanwhile_is_not_written_over(
    hub_here: Any, dataset: Any, file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    there = hub_here.datasets["org/found"] = dataset(private=True)

    def card_by_hand() -> None:
        there.files["README.md"] = b"a card of their own"
        there.commits.append({"summary": "card"})
        hub_here.before_commit = None

    hub_here.before_commit = card_by_hand
    assert main(["publish", file(), *TO, "--yes"]) == 4
    assert "somebody else has just changed the dataset: run the command again" in capsys.readouterr().err
    assert set(there.files) == {".gitattributes", "README.md"}
    assert main(["publish", "results.json", *TO, "--yes"]) == 0
    assert there.files["README.md"] == b"a card of their own"


def test_without_a_token_or_a_network_nobody_is_asked(
    hub_here: Any, file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    with monkeypatch.context() as patched:
        patched.setattr(constants, "HF_HUB_OFFLINE", True)
        assert main(["publish", file(), *TO, "--yes"]) == 4
        assert "nothing can be published while HF_HUB_OFFLINE is set: unset it" in capsys.readouterr().err
        assert main(["publish", "results.json", *TO]) == 0  # what it would be can be said anywhere
        capsys.readouterr()
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(Path("no-token").absolute()))
    assert main(["publish", "results.json", *TO, "--yes"]) == 4
    assert "a token of the hub that may write: log in with 'hf auth login' or set HF_TOKEN" in capsys.readouterr().err
    assert hub_here.log == []


def test_the_token_is_in_no_word_and_no_file(
    uploads: tuple[Any, str], file: Callable[..., str], tmp_path: Path, a_results_file: Make
) -> None:
    """In a process of its own, whose log is as loud as can be."""
    hub, address = uploads
    environment = os.environ | {
        "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "secret-of-no-known-form",
        "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DEBUG": "1", "NO_PROXY": "127.0.0.1,localhost",
    }  # fmt: skip
    where = Path.cwd()

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "moe_claims", "publish", "results.json", *TO, *arguments]
        return subprocess.run(command, env=environment, cwd=where, capture_output=True, text=True, check=False)

    file()
    done = run("--yes")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "secret-of-no" not in done.stdout + done.stderr
    sent = [request.body for request in hub.log] + list(hub.datasets["org/found"].files.values())
    assert not any(b"secret-of-no" in content for content in sent)
    assert {request.authorization for request in hub.log} == {"Bearer secret-of-no-known-form"}
    requests = len(hub.log)
    # A token in the results is found by its own letters, whatever its form, and not repeated.
    file(a_results_file({"reason": "with secret-of-no-known-form as it was"}))
    refused = run("--yes")
    assert refused.returncode == 4
    assert "results[0].reason holds what looks like a token" in refused.stderr
    assert "secret-of-no" not in refused.stdout + refused.stderr
    assert len(hub.log) == requests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "found"], "--to 'found' cannot be the name of a dataset on the hub: give org/name"),
        (["--to", "https://hub/datasets/a/b"], "cannot be the name of a dataset on the hub"),
        (["--to", "../x/y"], "cannot be the name of a dataset on the hub"),
        (["--to", "a/b--c"], "cannot be the name of a dataset on the hub"),
        ([*TO, "--message", " "], "--message is empty, or holds what looks like a path or a token: give another"),
        ([*TO, "--message", "as hf_abcdefgh"], "--message is empty, or holds what looks like a path or a token"),
    ],
)
def test_names_that_cannot_be_used_are_one_line(
    arguments: list[str],
    message: str,
    hub_here: Any,
    file: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["publish", file(), *arguments, "--yes"]) == 4
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert "abcdefgh" not in said
    assert hub_here.log == []


def test_what_a_reader_of_the_file_would_not_see_is_not_sent(hub_here: Any, file: Callable[..., str]) -> None:
    # Of a name that stands twice in JSON the last counts; the bytes of the file would hold the first as well.
    text = Path(file()).read_text(encoding="utf-8")
    Path("results.json").write_text('{"created": "hf_abcdefgh /home/me", ' + text[1:], encoding="utf-8")
    assert main(["publish", "results.json", *TO, "--yes"]) == 0
    files = hub_here.datasets["org/found"].files
    assert len(files) == 5
    assert not any(b"abcdefgh" in content or b"/home" in content for content in files.values())
