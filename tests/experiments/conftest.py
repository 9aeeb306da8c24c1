"""The scripts of ``experiments/`` as modules, and a text that they can be run on in seconds."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def position() -> ModuleType:
    return _script("dense_layer_position")


@pytest.fixture(scope="session")
def scheme() -> ModuleType:
    return _script("training_scheme")


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sees", "a", "dog", "and", "runs", "home", "far", "away", "blue", "river"]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\f".join(" ".join(rng.choice(words, size=300)) for _ in range(200)))
    return path
