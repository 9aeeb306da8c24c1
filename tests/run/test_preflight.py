"""What is wrong is known before anything is measured: names that stand for nothing, and models that are broken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.models.synthetic import build
from moe_claims.run.preflight import preflight
from moe_claims.run.session import Session
from moe_claims.settings import settings_from

SIZES = "layers=2&experts=4&hidden=16&intermediate=8&context=12"
MODEL = f"synthetic:planted?{SIZES}"
Checked = Callable[..., Any]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """(models, texts, **options) → what is found; the folder of measurements stays empty."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def check(models: list[str] | None = None, corpora: tuple[str, ...] = ("builtin",), **options: Any) -> Any:
        names = models or [MODEL]
        values = {"model": names, "text": list(corpora), "device": "cpu", "cache": str(cache)}
        settings = settings_from(values | {name.replace("_", "-"): value for name, value in options.items()})
        found = preflight(Session(settings), names, corpora)
        assert not cache.exists() or not list(cache.iterdir())
        return found

    return check


def test_a_run_without_mistakes_has_none(checked: Checked) -> None:
    found = checked(["tiny-scratch", MODEL], ("builtin", "builtin-math"), layers="1", second_model=MODEL)
    assert (found.mistakes, found.broken) == ((), ())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"models": ["nobody/no-model"]}, "'nobody/no-model' is not in the local cache and HF_HUB_OFFLINE is set"),
        ({"models": [MODEL, "nobody/no-model"]}, "'nobody/no-model' is not in the local cache"),
        ({"models": ["synthetic:planted?layers=none"]}, "layers"),
        ({"layers": "7"}, f"--moe-layers: '{MODEL}' has no MoE layer 7"),
        ({"second_model": "nobody/no-model"}, "'nobody/no-model' is not in the local cache"),
        ({"dense_reference": "nobody/no-model"}, "'nobody/no-model' is not in the local cache"),
    ],
)
def test_what_cannot_be_resolved_is_a_mistake(options: dict[str, Any], said: str, checked: Checked) -> None:
    found = checked(**options)
    (line,) = found.mistakes
    assert said in line
    assert found.broken == ()


@pytest.mark.parametrize(
    ("name", "content", "field", "said"),
    [
        ("one.txt", "one passage only", "", "is too short"),
        ("some.jsonl", '{"text": "a"}\n{"text": "b"}\n', ":body", "body"),
        ("some.csv", "title,text\nx,y\nz,w\n", ":body", "body"),
    ],
)
def test_texts_are_read_with_their_fields(
    name: str, content: str, field: str, said: str, checked: Checked, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    (line,) = checked(corpora=(f"{tmp_path / name}{field}", "builtin")).mistakes
    assert said in line


def test_a_model_that_is_found_and_broken_is_no_mistake(checked: Checked, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps(build.config_of(build.shape_of("planted", {}))))
    found = checked([str(broken), MODEL])
    assert found.mistakes == ()
    ((name, message),) = found.broken
    assert name == str(broken)
    assert "has no *.safetensors file" in message
