"""A hub on this machine that takes datasets."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _server() -> Any:
    """The module above: tests are no package, so that it has no name to import it by."""
    if "hub_uploads" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hub_uploads", Path(__file__).parents[1] / "hub_uploads.py")
        assert spec is not None and spec.loader is not None
        sys.modules["hub_uploads"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hub_uploads"])
    return sys.modules["hub_uploads"]


@pytest.fixture
def uploads() -> Iterator[tuple[Any, str]]:
    """(a hub without datasets, its address); see ``hub_uploads.Hub``."""
    server = _server()
    hub = server.Hub()
    with server.serving(hub) as address:
        yield hub, address


@pytest.fixture
def hub_here(uploads: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The hub, and this process sent to it: as ``HF_ENDPOINT`` would have done before huggingface_hub was imported."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    monkeypatch.setattr(constants, "ENDPOINT", uploads[1])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    close_session()
    yield uploads[0]
    close_session()


@pytest.fixture
def dataset() -> Any:
    """The class of what the hub holds: ``Dataset(private=…)``."""
    return _server().Dataset
