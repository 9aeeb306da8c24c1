"""The command ``trajectory``: when each claim becomes true during a training."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands, add_running, add_text, check_running
from moe_claims.errors import UsageError


def add(commands: Commands) -> None:
    parser = commands.add_parser("trajectory", help="when each claim becomes true during a training, with a figure")
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a model whose checkpoints are known (tiny-scratch, or org/name), a folder that contains checkpoints, or "
        "several checkpoints with their step in their name (./ckpt-0 ./ckpt-10)",
    )
    parser.add_argument("--revisions", help="comma-separated, such as step500,step1000 (default: those known)")
    parser.add_argument("--points", type=int, default=8, help="of the known ones, at most this many (default 8)")
    parser.add_argument("--pack", action="append", metavar="NAME", help="judge its claims; repeatable (default: ours)")
    add_text(parser, repeatable=True)
    add_running(parser)
    parser.add_argument("--cache", help="folder of stored measurements (default: the user's cache folder)")
    parser.add_argument("--output", type=Path, default=Path("trajectory"), help="folder to write (default trajectory)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.figures.matplotlib_backend import pyplot
    from moe_claims.figures.trajectory import draw
    from moe_claims.report import results, trajectory
    from moe_claims.run.trajectory import points_of, results_of, title_of
    from moe_claims.settings import settings_from

    if given.points < 2:
        raise UsageError(f"--points {given.points}: give a whole number, 2 or more")
    wanted = None if given.revisions is None else [part.strip() for part in given.revisions.split(",")]
    pyplot()  # what it lacks is said now, not after the measuring
    check_running(given)
    refs, known = points_of(given.names, wanted, given.points)
    options = ("pack", "text", "tokens", "device", "dtype", "download", "cache")
    settings = settings_from({"model": [ref.name for ref in refs], **{name: getattr(given, name) for name in options}})
    document = results_of(settings)
    results.write(given.output / "results.json", document)
    figure, title = given.output / "trajectory.png", title_of(given.names)
    results.write_text(given.output / "trajectory.md", trajectory.render(document, title, known, figure.name))
    found = trajectory.trajectories(document)
    draw(found, figure, title=title)
    lines = [f"{one.name}: {trajectory.when(one)}" for one in found if one.family == "headline"]
    return "\n".join([*lines, f"written to {given.output}: results.json, trajectory.md, {figure.name}"])
