"""The command ``claims``: lists the claims of the installed packs with their statements."""

import argparse

from moe_claims.commands import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("claims", help="the claims with their statements")
    parser.add_argument(
        "--pack", action="append", metavar="NAME", help="claims of this pack alone; repeatable (default: all installed)"
    )
    parser.add_argument("--full", metavar="ID", help="the whole record of one claim, named ID or PACK/ID")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.judge import registry
    from moe_claims.report import claims

    packs = registry.chosen(given.pack or registry.usable())
    if given.full is None:
        return claims.listing(packs)
    pack, name = registry.resolve(given.full, packs)
    return claims.full(pack, name)
