"""The command ``findings``: writes what a results file on the embedded models says, in plain words."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands, written


def add(commands: Commands) -> None:
    parser = commands.add_parser("findings", help="what a results file on the embedded models says, in plain words")
    parser.add_argument("results", type=Path, help="results.json of 'pytest claims/'")
    parser.add_argument(
        "--trajectory", type=Path, action="append", default=[], help="folder of a trajectory; repeatable"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.report import findings, results
    from moe_claims.zoo.recipes import RECIPES

    document = results.read(given.results)
    trainings = {name: recipe.training for name, recipe in RECIPES.items()}
    along = {}
    for folder in given.trajectory:
        found = results.read(folder / "results.json")
        along[found["models"][0]["name"].partition("@")[0]] = found
    return written(findings.render(document, trainings, along), given.output)
