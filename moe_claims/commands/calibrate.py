"""The command ``calibrate``: how often each claim replicates on models where it is true and where it is false."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands, add_trials, written
from moe_claims.errors import UsageError


def add(commands: Commands) -> None:
    parser = commands.add_parser("calibrate", help="how often each claim replicates on planted and null models")
    parser.add_argument(
        "--seeds",
        type=int,
        default=200,
        help="models of each kind, a quarter as many at random initialisation (default 200)",
    )
    add_trials(parser, log="calibration.jsonl")
    parser.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.simulation.calibration import calibrate
    from moe_claims.simulation.trials import claims_asked

    if given.seeds < 1 or given.workers < 1:
        raise UsageError("--seeds and --workers are whole numbers, 1 or more")
    claims = claims_asked(given.claim)
    return written(calibrate(seeds=given.seeds, workers=given.workers, log=given.log, claims=claims), given.output)
