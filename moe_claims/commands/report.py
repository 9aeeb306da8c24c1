"""The command ``report``: converts a results file to another format, or puts several on one page."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_claims.commands import Commands, written
from moe_claims.errors import UsageError

if TYPE_CHECKING:
    from moe_claims.compare.render import Compared
    from moe_claims.report.html import Changes

FORMATS = {
    "table": "moe_claims.report.table",
    "markdown": "moe_claims.report.markdown",
    "latex": "moe_claims.report.latex",
    "csv": "moe_claims.report.csv_table",
    "html": "moe_claims.report.html",
}
"""Format → module whose ``render`` turns a results document into it."""


def add(commands: Commands) -> None:
    parser = commands.add_parser("report", help="write a results file in another format, or several on one page")
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULTS",
        help="results.json of 'pytest claims/'; with --format html several, side by side, the first as baseline",
    )
    parser.add_argument("--format", choices=tuple(FORMATS), default="table", help="format to write (default table)")
    parser.add_argument(
        "--figures", type=Path, action="append", default=[], help="folder of 'figures' to show in the page; repeatable"
    )
    parser.add_argument(
        "--models",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="of several results: compare a model of the first with one of another name; repeatable",
    )
    parser.add_argument("--output", type=Path, help="file to write (default: print it)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.report import results

    documents = [results.read(path) for path in given.results]
    for path, document in zip(given.results, documents, strict=True):
        results.check(document, str(path))
    if given.models and (given.format != "html" or len(documents) < 2):
        raise UsageError(f"--models {given.models[0]}: only --format html of several results files compares models")
    if given.format == "html":
        from moe_claims.report.html import pictures

        shown = [picture for folder in given.figures for picture in pictures.read(folder)]
        return written(_page(documents, labels(given.results, documents), given.models, shown), given.output)
    if len(documents) > 1:
        raise UsageError(f"report '{given.results[1]}': only --format html shows several results files, side by side")
    if given.figures:
        raise UsageError(f"--figures {given.figures[0]}: only --format html shows figures")
    return written(import_module(FORMATS[given.format]).render(documents[0]), given.output)


def labels(paths: Sequence[Path], documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """A short name for each results file: its folder, with the date, and then a number, where names would be the same.

    A file that is not called ``results.json`` has a name of its own.
    """
    names = [path.absolute().parent.name if path.name == "results.json" else path.stem for path in paths]
    said = Counter(names)
    names = [
        f"{name} ({document['created'][:10]})" if said[name] > 1 else name
        for name, document in zip(names, documents, strict=True)
    ]
    said = Counter(names)
    return [f"{place}: {name}" if said[name] > 1 else name for place, name in enumerate(names, start=1)]


def _page(
    documents: Sequence[Mapping[str, Any]], names: Sequence[str], pairs: Sequence[str], figures: Sequence[Any]
) -> str:
    """The page of all documents; ``pairs`` are the values of ``--models``."""
    from moe_claims.report.html import Run, render_runs

    first, later = Run(documents[0], names[0]), documents[1:]
    if not later:
        return render_runs([first], figures)

    from moe_claims.compare.pairs import compared, pairing
    from moe_claims.compare.render import Compared

    renamed = pairing(pairs, first.document, later)
    found = [
        Compared(first.label, name, compared(first.document, document, renamed))
        for document, name in zip(later, names[1:], strict=True)
    ]
    return render_runs([first, *map(Run, later, names[1:], map(_changes, found))], figures)


def _changes(found: "Compared") -> "Changes":
    """What changed from the first run to a later one, as the page shows it."""
    from moe_claims.compare.render import HOW_TO_READ, SIGNS, headline, sections
    from moe_claims.report.html import Changes
    from moe_claims.report.html.runs import key_of

    it = found.comparison
    return Changes(
        headline(found),
        [(section.title, section.headers, section.rows) for section in sections(it)],
        {key_of(pair.after): f"{SIGNS[pair.change]} {pair.change}" for pair in it.pairs if pair.change != "same"},
        HOW_TO_READ,
    )
