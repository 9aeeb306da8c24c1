"""The command that a results document holds: what was given, in a form that can be given again."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from moe_claims.run.document import command
from moe_claims.settings import OPTIONS, settings_from


def parsed(text: str) -> dict[str, Any]:
    """The options of a command, as ``settings_from`` takes them."""
    first, folder, *words = shlex.split(text)
    assert (first, folder) == ("pytest", "claims/")
    known = {option.name: option for option in OPTIONS}
    found: dict[str, Any] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        name = "model" if option == "--model" else option.removeprefix("--moe-")
        if known[name].repeatable:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


GIVEN = [
    {},
    {"profile": "quick"},
    {"profile": "quick", "tokens": "4096"},
    {"model": ["tiny-scratch"]},
    {"model": ["synthetic:null?seed=7", "tiny-gelu"], "text": ["builtin", "builtin-math"]},
    {"model": ["mixtral"], "dense-reference": "tiny-dense", "second-model": "mixtral@main", "layers": "3,1"},
    {"seed": "3", "alpha": "0.01", "dtype": "float64", "device": "cpu", "pack": ["look_into_moes"]},
]


@pytest.mark.parametrize("values", GIVEN)
def test_the_command_asks_for_the_same_again(values: dict[str, Any]) -> None:
    settings = settings_from(values)
    assert settings_from(parsed(command(settings))) == settings


def test_defaults_folders_of_this_machine_and_where_it_was_stored_are_left_out(tmp_path: Path) -> None:
    values = {"cache": str(tmp_path / "cache"), "report": str(tmp_path / "report"), "report-only": True}
    assert command(settings_from(values)) == "pytest claims/"


def test_names_are_quoted_as_a_shell_needs_them() -> None:
    assert (
        command(settings_from({"model": ["synthetic:null?seed=7"]})) == "pytest claims/ --model 'synthetic:null?seed=7'"
    )
