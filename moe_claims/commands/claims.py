"""``claims``: the claims with their statements."""

import argparse

from moe_claims.commands import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("claims", help="the claims with their statements")
    parser.add_argument("--full", metavar="ID", help="the whole record of one claim")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.report import claims

    return claims.listing() if given.full is None else claims.full(given.full)
