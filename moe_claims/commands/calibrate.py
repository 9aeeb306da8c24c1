"""The command ``calibrate``: how often each claim replicates on models where it is true and where it is false."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands
from moe_claims.errors import UsageError


def add(commands: Commands) -> None:
    parser = commands.add_parser("calibrate", help="how often each claim replicates on planted and null models")
    parser.add_argument(
        "--seeds",
        type=int,
        default=200,
        help="models of each kind, a quarter as many at random initialisation (default 200)",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--log", type=Path, default=Path("calibration.jsonl"), help="results so far; resumes there")
    parser.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.simulation.calibration import calibrate

    if given.seeds < 1 or given.workers < 1:
        raise UsageError("--seeds and --workers are whole numbers, 1 or more")
    text = calibrate(seeds=given.seeds, workers=given.workers, log=given.log)
    if given.output is None:
        return text
    given.output.write_text(text, encoding="utf-8")
    return f"written to {given.output}"
