"""The commands of ``python -m moe_claims``, one module each: its options, and what it returns to be printed.

Every module has ``add``, which gives the parser of the command, and a ``run`` that ``add`` sets as its default: it
returns the text to be printed, or an ``Answer`` where the exit status says something too.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

from moe_claims import texts
from moe_claims.errors import UsageError


@final
@dataclass(frozen=True)
class Answer:
    """What a command found, where that decides the exit status."""

    text: str
    status: int
    """0, or 1 for what was found, never for what went wrong: that is an error, and 4."""


class Commands(Protocol):
    """What argparse's ``add_subparsers`` gives."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...


def add_text(parser: argparse._ActionsContainer, *, repeatable: bool = False) -> None:
    """``--text``: of one text, or of several."""
    if repeatable:
        parser.add_argument("--text", action="append", help=f"{texts.CHOICES} (default builtin); repeatable")
    else:
        parser.add_argument("--text", help=f"{texts.CHOICES} (default builtin)")


def add_running(parser: argparse.ArgumentParser) -> None:
    """Options on how a model is run: ``--tokens``, ``--device``, ``--dtype`` and ``--download``."""
    parser.add_argument("--tokens", type=int, help="at most this many tokens of each text")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=("float32", "float64", "bfloat16"), default="float32")
    parser.add_argument("--download", action="store_true", help="fetch models of the hub whole before they are read")


def written(text: str, output: Path | None) -> str:
    """What a command prints: its text, or, where a file is asked for, that it is written there, whole or not at all.

    Raises:
        UsageError: the file cannot be written.
    """
    if output is None:
        return text
    from moe_claims.report.results import write_text

    if output.is_dir():
        raise UsageError(f"--output {output}: is a folder: give a file in it")
    try:
        write_text(output, text)
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written ({error.strerror}): give another file") from None
    return f"written to {output}"
