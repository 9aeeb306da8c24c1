"""A hub on this machine, for whoever reads models over the network."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def _server() -> Any:
    """The module beside: tests are no package, so that it has no name to import it by."""
    if "hub_server" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).parents[1] / "hub_server.py")
        assert spec is not None and spec.loader is not None
        sys.modules["hub_server"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hub_server"])
    return sys.modules["hub_server"]


@pytest.fixture
def served() -> Iterator[tuple[Any, str]]:
    """(a hub without repositories, its address); see ``hub_server.Hub``."""
    server = _server()
    hub = server.Hub()
    with server.serving(hub) as address:
        yield hub, address


@pytest.fixture
def hub_here(served: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hub, and this process sent to it: as ``HF_ENDPOINT`` would have done before huggingface_hub was imported."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    hub, address = served
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    close_session()
    yield hub
    close_session()


@pytest.fixture
def opened(hub_here: Any) -> Callable[..., Any]:
    """(folder, revision="main", **patience) → an impatient ``Repository`` of its files."""
    from moe_claims.models.persist import Patience
    from moe_claims.models.repository import Repository

    def open_(folder: Path, revision: str | None = "main", **patience: Any) -> Repository:
        hub_here.put("org/tiny", folder, revision=revision or "main")
        hasty = {"first_wait": 0.01, "longest_wait": 0.02, **patience}
        return Repository("org/tiny", revision, patience=Patience(**hasty))

    return open_
