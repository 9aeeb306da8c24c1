"""Every option and argument of every command says what it is for."""

import argparse
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moe_claims.commands.main import COMMANDS, main
from moe_claims.zoo.__main__ import main as zoo

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    path
    for folder in ("experiments", "benchmarks")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]


class Parsed(Exception):  # noqa: N818 - no error
    """Carries a program's parser out of it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@pytest.fixture(autouse=True)
def _taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise Parsed(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", take)


def actions(parser: argparse.ArgumentParser, command: str = "") -> Iterator[tuple[str, argparse.Action]]:
    """(command, option or argument) of a program and all its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from actions(inner, name)
        else:
            yield command, action


def unexplained(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    return [(command, action.dest) for command, action in actions(parser) if not (action.help or "").strip()]


@pytest.mark.parametrize("program", [main, zoo])
def test_every_option_of_every_command_has_help(program: object) -> None:
    with pytest.raises(Parsed) as caught:
        program([])  # type: ignore[operator]
    assert sum(1 for _ in actions(caught.value.parser)) > 10
    assert unexplained(caught.value.parser) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_option_of_a_script_has_help(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(Parsed) as caught:
        runpy.run_path(str(script), run_name="__main__")
    assert unexplained(caught.value.parser) == []


def test_every_command_says_what_it_is_for() -> None:
    with pytest.raises(Parsed) as caught:
        main([])
    (commands,) = (a for a in caught.value.parser._actions if isinstance(a, argparse._SubParsersAction))
    assert len(commands.choices) == len(COMMANDS)
    assert {choice.dest for choice in commands._choices_actions if choice.help} == set(commands.choices)


def test_what_is_written_is_named_by_output() -> None:
    with pytest.raises(Parsed) as caught:
        main([])
    found = list(actions(caught.value.parser))
    named = {(command, *action.option_strings) for command, action in found if action.dest == "output"}
    assert ("figures", "--output", "--out") in named
    assert {command for command, *_ in named} >= {"measure", "figures", "trajectory", "report", "compare", "findings"}
    assert all(option.startswith("--output") or option == "--out" for _, *options in named for option in options)
    others = [a for _, action in found if action.dest != "output" for a in action.option_strings]
    assert not [option for option in others if option.startswith("--out")]
