"""The command ``models``: lists the names that ``--model`` takes, or the supported model families."""

import argparse
import textwrap

from moe_claims.commands import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("models", help="what --model takes")
    parser.add_argument("--families", action="store_true", help="what is done with each family, as Markdown")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from tabulate import tabulate

    from moe_claims.models.embedded import EMBEDDED
    from moe_claims.models.families import listing
    from moe_claims.models.families.table import FAMILIES
    from moe_claims.models.names import ALIASES, SYNTHETIC

    if given.families:
        return listing.render()
    rows: list[tuple[str, str]] = [(name, _embedded(name)) for name in EMBEDDED]
    rows += [(f"synthetic:{kind}", "made in memory; ?seed=N and sizes") for kind in SYNTHETIC]
    rows += [(alias, target) for alias, target in ALIASES.items()]
    rows += [
        ("DIRECTORY", "config.json and *.safetensors"),
        ("[hub:]org/name[@revision]", "from the hub's local cache, or over the network"),
    ]
    known = tabulate(rows, headers=["--model", "what it is"], tablefmt="simple")
    families = (
        f"{len(FAMILIES)} families (model_type) are read: {', '.join(FAMILIES)}. 'models --families' says what is done "
        "with each, and why others are not read."
    )
    return f"{known}\n\n{textwrap.fill(families, 100, break_on_hyphens=False)}"


def _embedded(name: str) -> str:
    """Table cell for an embedded model: its kind, and the training steps whose weights can be named."""
    from moe_claims.models.embedded import DENSE, embedded_directory, revisions_of
    from moe_claims.zoo.recipes import RECIPES

    recipe = RECIPES[name]
    kind = "dense reference" if name == DENSE else "embedded"
    points = revisions_of(embedded_directory(name))
    along = f"; {name}@{points[0]} … @{points[-1]}" if points else ""
    return f"{kind}: {recipe.family}, {recipe.training}{along}"
