"""``report``: a results file in another format."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("report", help="write a results file in another format")
    parser.add_argument("results", type=Path)
    parser.add_argument("--format", choices=("table", "markdown"), default="table")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.report import markdown, results, table

    document = results.read(given.results)
    return table.render(document) if given.format == "table" else markdown.render(document)
