"""The command line, ``python -m moe_claims`` or ``moe-claims``. Only ``main`` prints; commands return their text."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from moe_claims import __version__
from moe_claims.commands import (
    Answer,
    calibrate,
    claims,
    compare,
    figures,
    findings,
    measure,
    models,
    packs,
    plan,
    power,
    publish,
    report,
    trajectory,
)
from moe_claims.errors import MoeClaimsError

USAGE = 4
"""Exit status for unusable input, the same as pytest's."""

COMMANDS = (
    measure,
    plan,
    figures,
    calibrate,
    power,
    trajectory,
    findings,
    report,
    compare,
    publish,
    models,
    packs,
    claims,
)
"""The modules of all commands, in the order of ``--help``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and prints its text. Returns its exit status, or 4 after an error, one line on standard error."""
    given = _parser().parse_args(arguments)
    try:
        found: str | Answer = given.run(given)
    except MoeClaimsError as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what was measured is kept\n")
        return 130
    answer = Answer(found, 0) if isinstance(found, str) else found
    sys.stdout.write(_printable(answer.text.rstrip("\n")) + "\n")
    return answer.status


def _printable(text: str) -> str:
    """The text with characters escaped that the terminal's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _program(started: str) -> str:
    """How the user started the command line, given the first of ``sys.argv``."""
    return "moe-claims" if Path(started).stem == "moe-claims" else "python -m moe_claims"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_program(sys.argv[0]),
        description="Claims about mixture-of-experts internals. The tests themselves run with 'pytest claims/'.",
    )
    parser.add_argument("--version", action="version", version=f"moe_claims {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser
