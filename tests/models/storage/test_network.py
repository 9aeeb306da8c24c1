"""Models of the hub through the real command line: the same numbers as from a folder, and nothing of them on disk."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from moe_claims.commands.main import main
from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.dense import open_dense
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.models.storage.hub_cache import PATTERNS, branches
from moe_claims.models.storage.location import Folder
from moe_claims.models.storage.safetensors_file import read_spans
from moe_claims.models.storage.tensor_source import SafetensorsFolder
from moe_claims.run import trajectory


@pytest.fixture
def measure(served: tuple[Any, str], tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """``python -m moe_claims measure`` with the hub on this machine, in a process and a home of its own."""
    environment = os.environ | {
        "HF_ENDPOINT": served[1],
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_secret",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",  # no requests but those that are looked at here
        "HF_DEBUG": "1",  # its log must not hold the token either
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
    }
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        environment.pop(name, None)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "moe_claims", "measure", *arguments]
        # Nothing is kept from one call to the next, so that each reads what it measures.
        with TemporaryDirectory() as kept:
            variables = environment | {"XDG_CACHE_HOME": kept}
            done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "hf_secret" not in done.stdout + done.stderr
        return done

    return run


def _same(one: Path, other: Path) -> None:
    with np.load(one) as left, np.load(other) as right:
        assert left.files == right.files
        for name in left.files:
            assert left[name].dtype == right[name].dtype
            assert np.array_equal(left[name], right[name]), name


def _on_disk(folder: Path) -> Mapping[str, int]:
    """Name → bytes of every file below, whatever it is called."""
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", ["original", pytest.param("fused-sharded", marks=pytest.mark.campaign("long"))])
def test_weights_over_the_network(
    layout: str, served: tuple[Any, str], saved: Callable[..., Path], measure: Any, tmp_path: Path
) -> None:
    hub, folder = served[0], saved("mixtral", False, layout)
    hub.put("org/tiny", folder)
    hub.fail("drop")
    hub.fail("status", 503)
    measure("hub:org/tiny@main", "--what", "weights", "--output", "remote.npz")
    assert main(["measure", str(folder), "--what", "weights", "--output", str(tmp_path / "local.npz")]) == 0
    _same(tmp_path / "remote.npz", tmp_path / "local.npz")
    assert _on_disk(tmp_path / "home") == {}

    assert hub.log[0].path == "/api/models/org/tiny/revision/main"
    assert {name for path in folder.glob("*.safetensors") for name in _read(hub, path)} == {
        name for name in SafetensorsFolder(folder).names() if ".experts." in name or ".gate." in name
    }
    assert {request.authorization for request in hub.log if request.port == "storage"} == {None}
    assert {request.authorization for request in hub.log if request.port == "hub"} == {"Bearer hf_secret"}


def _read(hub: Any, path: Path) -> set[str]:
    """Names of the tensors of a file that any request touched."""
    spans = [request.range for request in hub.weights() if request.path.endswith(f"/{path.name}")]
    asked = [tuple(int(end) for end in span.removeprefix("bytes=").split("-")) for span in spans]
    return {
        name
        for name, span in read_spans(path).items()
        if any(first < span.begin + span.size and span.begin <= last for first, last in asked)
    }


@pytest.mark.campaign("long")
def test_a_whole_run_over_the_network(
    served: tuple[Any, str], saved: Callable[..., Path], measure: Any, tmp_path: Path
) -> None:
    hub, folder, dense = served[0], saved("mixtral"), _dense(tmp_path / "dense", saved("mixtral"))
    hub.put("org/tiny", folder)
    hub.put("org/dense", dense, revision="v1")
    (tmp_path / "ids.json").write_text(json.dumps([[3, 4, 5, 6], [7, 8, 9]]))
    options = ["--token-ids", str(tmp_path / "ids.json"), "--device", "cpu"]
    measure("org/tiny", *options, "--dense-reference", "hub:org/dense@v1", "--output", "remote.npz")
    # In a process of its own as well: another state of memory or threads may round in another way.
    measure(str(folder), *options, "--dense-reference", str(dense), "--output", "local.npz")
    _same(tmp_path / "remote.npz", tmp_path / "local.npz")
    assert _on_disk(tmp_path / "home") == {}


def _dense(folder: Path, moe: Path) -> Path:
    """A dense model of the shape of an MoE's experts."""
    config = json.loads((moe / "config.json").read_text())
    layers, hidden, inner = (config[key] for key in ("num_hidden_layers", "hidden_size", "intermediate_size"))
    kept = {key: config[key] for key in ("num_hidden_layers", "hidden_size", "intermediate_size", "hidden_act")}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "mistral", **kept}))
    generator = torch.Generator().manual_seed(5)
    tensors = {
        f"model.layers.{layer}.mlp.{name}.weight": torch.randn(*shape, generator=generator)
        for layer in range(layers)
        for name, shape in (
            ("up_proj", (inner, hidden)),
            ("gate_proj", (inner, hidden)),
            ("down_proj", (hidden, inner)),
        )
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_download_keeps_the_files_and_serves_from_them(
    served: tuple[Any, str], saved: Callable[..., Path], measure: Any, tmp_path: Path
) -> None:
    hub, folder = served[0], saved("mixtral", False, "original-sharded")
    sha = hub.put("org/tiny", folder)
    arguments = ("org/tiny", "--what", "weights", "--output")
    measure(*arguments, "first.npz", "--download")
    assert hub.sent == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    snapshot = tmp_path / "home" / "hub" / "models--org--tiny" / "snapshots" / sha
    kept = {path.name for path in snapshot.iterdir()}
    assert kept == {path.name for path in folder.iterdir() if any(path.match(pattern) for pattern in PATTERNS)}
    assert {request.authorization for request in hub.log if request.port == "storage"} == {None}
    hub.log.clear()
    measure(*arguments, "second.npz")  # what lies there is used, with the option or without it
    assert hub.log == []
    _same(tmp_path / "first.npz", tmp_path / "second.npz")


def test_what_cannot_be_read_is_one_line_and_status_4(hub_here: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "hub:org/none", "--output", "x.npz"]) == 4
    expected = "error: there is no repository 'org/none' on the hub that you may read: check its name\n"
    assert capsys.readouterr().err == expected


def test_a_training_is_followed_over_the_branches_of_a_repository(
    hub_here: Any, saved: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved("mixtral")
    for revision in ("main", "step1000-tokens4B", "step20-tokens1B", "step300-tokens2B"):
        hub_here.put("org/tiny", folder, revision=revision)
    refs, known = trajectory.models("hub:org/tiny", None, 2)
    assert [ref.name for ref in refs] == ["hub:org/tiny@step20-tokens1B", "hub:org/tiny@step1000-tokens4B"]
    assert known == 3
    output, cache = tmp_path / "along", tmp_path / "cache"
    arguments = ["trajectory", "hub:org/tiny", "--points", "2", "--output", str(output), "--cache", str(cache)]
    assert main(arguments) == 0
    assert f"written to {output}: results.json, trajectory.md, trajectory.png" in capsys.readouterr().out
    page = (output / "trajectory.md").read_text()
    assert "- Points: 2 of 3 known checkpoints, at steps 20, 1,000" in page
    assert "has no tokenizer" in page  # what could not be measured is said, the rest stands
    assert json.loads((output / "results.json").read_text())["models"][1]["revision_sha"] == refs_sha(hub_here)
    assert main(["trajectory", "hub:org/none"]) == 4
    assert "there is no repository 'org/none' on the hub that you may read" in capsys.readouterr().err


def refs_sha(hub: Any) -> str:
    return str(hub.revisions["org/tiny", "step1000-tokens4B"])


def test_branches_are_not_listed_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"^the revisions of 'org/tiny' cannot be listed while HF_HUB_OFFLINE is set"):
        branches("org/tiny")


def test_opened_in_this_process(hub_here: Any, saved: Callable[..., Path], tmp_path: Path) -> None:
    folder = saved("mixtral")
    sha = hub_here.put("org/tiny", folder)
    model = open_model(resolve("hub:org/tiny"))
    assert (model.hub_id, model.revision_sha, model.encode) == ("org/tiny", sha, None)
    assert model.identity == f"org/tiny@{sha}"
    assert model.checkpoint.sha256 == Checkpoint.open(folder, "m").sha256
    hub_here.put("org/dense", _dense(tmp_path / "dense", folder))
    assert open_dense(resolve("hub:org/dense")).identity.startswith("org/dense@")


@pytest.mark.parametrize("kind", ["dense", "unknown"])
def test_wrong_kind_is_said_before_the_weights_are_looked_at(kind: str, hub_here: Any, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps({"model_type": "mistral" if kind == "dense" else "x"}))
    hub_here.put("org/tiny", tmp_path / "m")
    for open_ in (open_model,) if kind == "dense" else (open_model, open_dense):
        with pytest.raises(Exception, match="'hub:org/tiny'"):
            open_(resolve("hub:org/tiny"))
    assert hub_here.weights() == []


def test_cache_comes_first_and_is_completed_only_by_download(
    hub_here: Any, saved: Callable[..., Path], tmp_path: Path
) -> None:
    folder = saved("mixtral", False, "original-sharded")
    sha = hub_here.put("org/tiny", folder)
    name = "hub:org/tiny"
    open_model(resolve(name), download=True)
    hub_here.log.clear()
    assert open_model(resolve(name)).revision_sha == sha
    assert hub_here.log == []
    snapshot = next((tmp_path / "cache").rglob(f"snapshots/{sha}"))
    sorted(snapshot.glob("*.safetensors"))[0].unlink()
    before = _on_disk(snapshot)
    assert open_model(resolve(name)).checkpoint.router(0).shape == (4, 16)
    assert _on_disk(snapshot) == before
    assert isinstance(Folder(snapshot).config(), dict)
    open_model(resolve(name), download=True)
    assert len(_on_disk(snapshot)) == len(before) + 1
