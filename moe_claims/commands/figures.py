"""The command ``figures``: draws the paper's figures for any model."""

import argparse
import shlex
from pathlib import Path

from moe_claims.commands import Commands, add_running, add_text, check_running
from moe_claims.errors import UsageError


def add(commands: Commands) -> None:
    parser = commands.add_parser("figures", help="the paper's figures for any model, with captions")
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="alias, directory, [hub:]org/name[@revision] or synthetic:KIND; of several, each has a folder of its own",
    )
    parser.add_argument(
        "--output",
        "--out",  # its name in earlier versions
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write: figures, figures.md, figures.json",
    )
    parser.add_argument("--page", type=Path, help="Markdown file to write in place of figures.md in that folder")
    parser.add_argument("--layers", help="drawn one by one, such as 0,5,31 (default: six, first and last among them)")
    parser.add_argument("--format", choices=("png", "svg", "both"), default="png", help="of the files (default png)")
    add_text(parser)
    add_running(parser)
    parser.add_argument("--dense-reference", help="dense model of the same shape, last on the expert axes as 'F'")
    parser.add_argument("--cache", help="folder of stored measurements (default: the user's cache folder)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.figures.matplotlib_backend import library

    library()  # so that a missing matplotlib is an error before anything is measured
    layers = _layers(given.layers)
    check_running(given)
    if given.output.exists() and not given.output.is_dir():
        raise UsageError(f"--output {given.output}: this is a file; give a folder, which is made where there is none")

    from moe_claims.figures.files import FORMATS
    from moe_claims.figures.gallery import Wanted, draw
    from moe_claims.settings import settings_from

    values = {name: getattr(given, name) for name in ("tokens", "device", "dtype", "download", "cache")}
    values |= {"model": given.names, "text": given.text and [given.text], "dense-reference": given.dense_reference}
    wanted = Wanted(
        out=given.output,
        page=given.page or given.output / "figures.md",
        layers=layers,
        formats=FORMATS[given.format],
        command=_command(given),
        must_fit=given.dense_reference is not None,
    )
    return draw(settings_from(values), wanted)


def _layers(given: str | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--layers {given}: give layer numbers separated by commas, such as 0,5,31")
    return tuple(sorted({int(part) for part in parts}))


def _command(given: argparse.Namespace) -> str:
    """The command line that reproduces the page; without ``--cache``, which does not change it."""
    parts = ["python", "-m", "moe_claims", "figures", *given.names, "--output", str(given.output)]
    for name in ("page", "layers", "text", "tokens", "dense_reference"):
        value = getattr(given, name)
        if value is not None:
            parts += [f"--{name.replace('_', '-')}", str(value)]
    for name, usual in (("format", "png"), ("device", "auto"), ("dtype", "float32")):
        if getattr(given, name) != usual:
            parts += [f"--{name}", getattr(given, name)]
    return shlex.join(parts)
