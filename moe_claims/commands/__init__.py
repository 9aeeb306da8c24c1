"""The commands of ``python -m moe_claims``, one module each.

Every module has ``add``, which adds the command and its options to the parser, and ``run``, which executes it and
returns the text to print, or an ``Answer`` if the exit status depends on the result.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

from moe_claims import texts
from moe_claims.errors import UsageError
from moe_claims.models.device import METAVAR, check_dtype, device_of


@final
@dataclass(frozen=True)
class Answer:
    """The result of a command whose exit status depends on it."""

    text: str
    """Text to print."""
    status: int
    """Exit status: 0, or 1 as a result of the command. Errors are exceptions, and give 4."""


class Commands(Protocol):
    """The part of the result of argparse's ``add_subparsers`` that commands use."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...


def add_text(parser: argparse._ActionsContainer, *, repeatable: bool = False) -> None:
    """Adds ``--text``, for one text or, if repeatable, several."""
    if repeatable:
        parser.add_argument("--text", action="append", help=f"{texts.CHOICES} (default builtin); repeatable")
    else:
        parser.add_argument("--text", help=f"{texts.CHOICES} (default builtin)")


def add_running(parser: argparse.ArgumentParser) -> None:
    """Adds the options on how a model is run: ``--tokens``, ``--device``, ``--dtype`` and ``--download``."""
    parser.add_argument("--tokens", type=int, help="at most this many tokens of each text")
    parser.add_argument("--device", metavar=METAVAR, default="auto", help="where to run (default auto)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64", "bfloat16"),
        default="float32",
        help="of weights and hidden states in the forward pass (default float32)",
    )
    parser.add_argument("--download", action="store_true", help="fetch models of the hub whole before they are read")


def check_running(given: argparse.Namespace) -> None:
    """Checks ``--device`` and ``--dtype``, as given, before anything is opened.

    Raises:
        UsageError: the device is not there, or does not compute in that dtype.
    """
    check_dtype(device_of(given.device), given.dtype)


def add_trials(parser: argparse.ArgumentParser, *, log: str) -> None:
    """Adds the options of a command that runs many synthetic models: ``--claim``, ``--workers`` and ``--log``."""
    parser.add_argument("--claim", action="append", metavar="ID", help="this claim alone; repeatable (default: all)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--log", type=Path, default=Path(log), help=f"results so far; resumes there (default {log})")


def written(text: str, output: Path | None) -> str:
    """Writes the text atomically if a file is given; returns what the command prints, the text or a note.

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
