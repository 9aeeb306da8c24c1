"""The command ``compare``: what changed from one results file to others; the exit status can show changes."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from moe_claims.commands import Answer, Commands
from moe_claims.errors import UsageError

if TYPE_CHECKING:
    from moe_claims.compare.render import Compared


def add(commands: Commands) -> None:
    parser = commands.add_parser("compare", help="what changed from one results file to others")
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULTS",
        help="results.json of 'pytest claims/' or of a trajectory; the first is the baseline of all others",
    )
    parser.add_argument(
        "--models",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="compare a model of the baseline with one of another name, such as two checkpoints; repeatable",
    )
    parser.add_argument(
        "--fail-on",
        choices=("worse", "changed", "never"),
        default="never",
        help="status 1 if a verdict got worse or an error is new, or if anything but effects changed (default never)",
    )
    parser.add_argument(
        "--format", choices=("table", "markdown", "json"), default="table", help="to write (default table)"
    )
    parser.add_argument("--output", type=Path, help="file to write (default: print it)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> Answer:
    from moe_claims.compare import render
    from moe_claims.compare.pairs import compared, pairing
    from moe_claims.report import results

    if len(given.results) < 2:
        raise UsageError(f"compare needs two results files or more: give another beside '{given.results[0]}'")
    documents = [results.read(path) for path in given.results]
    for path, document in zip(given.results, documents, strict=True):
        results.check(document, str(path))
    baseline, later = documents[0], documents[1:]
    names = pairing(given.models, baseline, later)
    found = [
        render.Compared(str(given.results[0]), str(path), compared(baseline, document, names))
        for path, document in zip(given.results[1:], later, strict=True)
    ]
    for one in found:
        _check(one, given.fail_on)
    if given.format == "json":
        text = json.dumps(render.document(found), indent=1, ensure_ascii=False, allow_nan=False)
    else:
        text = render.render(found) if given.format == "table" else render.markdown(found)
    failed = {"never": False, "worse": any(one.comparison.worse for one in found)}
    failed["changed"] = any(one.comparison.changed for one in found)
    if given.output is not None:
        results.write_text(given.output, text.rstrip("\n") + "\n")
        text = "\n".join([*map(render.headline, found), f"written to {given.output}"])
    return Answer(text, int(failed[given.fail_on]))


def _check(found: "Compared", fail_on: str) -> None:
    """Raises UsageError if no row is in common, or if ``--fail-on worse`` would pass without any comparable row."""
    from moe_claims.compare.render import unpaired

    it = found.comparison
    if not it.pairs and it.new and it.missing:
        lost = f"no row is in common of {found.earlier} and {found.later}"
        raise UsageError(unpaired(found) or f"{lost}: compare runs of the same claims on the same texts")
    if fail_on == "worse" and it.vacuous and not it.worse:
        why = next((pair.void for pair in it.pairs if pair.void), None)
        lost = f"no row of a measured model of {found.earlier} can be compared with {found.later}"
        raise UsageError(
            unpaired(found) or f"{lost}: {why or 'it has none of them'}; --fail-on worse says nothing then"
        )
