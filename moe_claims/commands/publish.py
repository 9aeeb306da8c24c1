"""The command ``publish``: uploads results to a dataset on the hub; without ``--yes`` it only lists the files."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("publish", help="upload results to a dataset of the hub; says what, until --yes")
    parser.add_argument("results", type=Path, help="results.json of 'pytest claims/' or of a trajectory")
    parser.add_argument("--to", required=True, metavar="ORG/NAME", help="the dataset; it is made if there is none")
    parser.add_argument("--message", help="of the commit (default: the name of the run)")
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="another name for a model, text or folder whose own says too much; repeatable",
    )
    parser.add_argument("--public", action="store_true", help="in a dataset that everyone may read (default: private)")
    parser.add_argument("--yes", action="store_true", help="upload (default: say what would be uploaded)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.publish.upload import described, packed, send
    from moe_claims.report import results

    document = results.read(given.results)
    parcel = packed(
        document, str(given.results), given.to, message=given.message, public=given.public, rename=given.rename
    )
    if given.yes:
        return send(parcel)
    return f"would be uploaded {described(parcel)}\nNothing was sent, and the hub was not asked: add --yes."
