"""The command ``power``: how often each claim is found, by size of effect."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands, add_trials, written
from moe_claims.errors import UsageError


def add(commands: Commands) -> None:
    parser = commands.add_parser("power", help="how often each claim is found at which size of effect, with a figure")
    parser.add_argument("--seeds", type=int, default=25, help="models of each strength (default 25)")
    add_trials(parser, log="power.jsonl")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file to write; the figure lies beside it")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.simulation.power import needs_layers, power, summary
    from moe_claims.simulation.power_figure import draw
    from moe_claims.simulation.power_over_depth import depth_power
    from moe_claims.simulation.trials import claims_asked

    if given.seeds < 1 or given.workers < 1:
        raise UsageError("--seeds and --workers are whole numbers, 1 or more")
    figure = given.output.with_suffix(".png")
    curves = power(seeds=given.seeds, workers=given.workers, log=given.log, claims=claims_asked(given.claim))
    draw(curves, figure)
    depth = depth_power(curves=4 * given.seeds) if any(map(needs_layers, curves)) else []
    return f"{written(summary(curves, depth, given.seeds, figure.name), given.output)} and {figure}"
