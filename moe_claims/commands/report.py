"""The command ``report``: converts a results file to another format."""

import argparse
from importlib import import_module
from pathlib import Path

from moe_claims.commands import Commands, written
from moe_claims.errors import UsageError

FORMATS = {
    "table": "moe_claims.report.table",
    "markdown": "moe_claims.report.markdown",
    "latex": "moe_claims.report.latex",
    "csv": "moe_claims.report.csv_table",
    "html": "moe_claims.report.html",
}
"""Format → module whose ``render`` turns a results document into it."""


def add(commands: Commands) -> None:
    parser = commands.add_parser("report", help="write a results file in another format")
    parser.add_argument("results", type=Path, help="results.json of 'pytest claims/'")
    parser.add_argument("--format", choices=tuple(FORMATS), default="table", help="to write (default table)")
    parser.add_argument(
        "--figures", type=Path, action="append", default=[], help="folder of 'figures' to show in the page; repeatable"
    )
    parser.add_argument("--output", type=Path, help="file to write (default: print it)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.report import results

    document = results.read(given.results)
    results.check(document, str(given.results))
    if given.format == "html":
        from moe_claims.report.html import pictures, render

        shown = [picture for folder in given.figures for picture in pictures.read(folder)]
        return written(render(document, shown), given.output)
    if given.figures:
        raise UsageError(f"--figures {given.figures[0]}: only --format html shows figures")
    return written(import_module(FORMATS[given.format]).render(document), given.output)
