"""A run on a small checkpoint, planned and measured."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.models.embedded import embedded_directory
from moe_claims.plan import clock
from moe_claims.settings import Settings, settings_from

PLANTED = "synthetic:planted?layers=7&experts=5&hidden=16&intermediate=16&context=24"


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """(model, **options) → settings with an empty store."""

    def make(*models: str, **options: Any) -> Settings:
        values = {"model": list(models or [PLANTED]), "tokens": 200, "device": "cpu", "cache": str(tmp_path / "cache")}
        return settings_from(values | {name.replace("_", "-"): value for name, value in options.items()})

    return make


@pytest.fixture
def as_folder() -> Callable[[str, Path], None]:
    """(embedded model, folder) copies its checkpoint there."""

    def copy(name: str, folder: Path) -> None:
        shutil.copytree(embedded_directory(name), folder, ignore=shutil.ignore_patterns("*trajectory*", "steps*"))

    return copy


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of the machine's speed take no time here, where nobody reads the times."""
    monkeypatch.setattr(clock, "_NUMBERS", 1 << 12)
    monkeypatch.setattr(clock, "_SMALL", 1 << 12)
    monkeypatch.setattr(clock, "_SAMPLE", 1 << 16)
    monkeypatch.setattr(clock, "_LONG", 0.0)
