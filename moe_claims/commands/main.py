"""The command line beside pytest. Prints in one place; every command is a function of its arguments."""

import argparse
import sys
from collections.abc import Sequence

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
    power,
    publish,
    report,
    trajectory,
)
from moe_claims.errors import MoeClaimsError

USAGE = 4
"""Exit status for input that cannot be used, as pytest has it."""

COMMANDS = (measure, figures, calibrate, power, trajectory, findings, report, compare, publish, models, packs, claims)
"""In the order in which ``--help`` lists them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and prints what it returns; 0 or the status that it says, or 4 with one line on standard error."""
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
    """The text with what the terminal's encoding does not have written out."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m moe_claims",
        description="Claims about mixture-of-experts internals. The tests themselves run with 'pytest claims/'.",
    )
    parser.add_argument("--version", action="version", version=f"moe_claims {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser
