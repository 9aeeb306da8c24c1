"""``report.html``: the whole report as one self-contained file, of one run or of several side by side."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from moe_claims.printable import printable
from moe_claims.report import formatting
from moe_claims.report.html import decided, forest, null_strip, view, words
from moe_claims.report.html.runs import Changes, Run, Together, together

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["Changes", "Run", "inert", "render", "render_runs"]

Row = Mapping[str, Any]


def render(document: Row, figures: Sequence[Mapping[str, str]] = ()) -> str:
    """The results document as one HTML page. It loads nothing from elsewhere, and names in it cannot run code.

    Args:
        document: the results document.
        figures: mappings with ``title``, ``caption`` and ``uri`` (a ``data:`` URI), shown in this order.
    """
    return render_runs([Run(document)], figures)


def render_runs(runs: Sequence[Run], figures: Sequence[Mapping[str, str]] = ()) -> str:
    """Several results documents as one HTML page, each with columns of its own.

    Args:
        runs: the runs; changes are those since the first.
        figures: as for ``render``.

    Raises:
        ValueError: there is no run, or two have one label.
    """
    from markupsafe import Markup

    style, script = _file("report.css"), _file("report.js")
    all_runs = together(runs)
    document = all_runs.document
    results = document["results"]
    live = [row for row in results if row["evidence"] == "live"]
    several_texts = len({row["corpus"] for row in live if row["corpus"] is not None}) > 1
    return _template().render(
        address=decided.address,
        documentation=_documentation(),
        words=words,
        runs=runs,
        labels=all_runs.labels,
        document=document,
        named=lambda row: view.label_of(row, several_texts and row["evidence"] == "live", all_runs.labels),
        of_runs=lambda entry: _of_runs(entry, all_runs),
        matrix=view.matrix(results),
        live=view.sections(results, "live"),
        elsewhere=_elsewhere(document),
        papers=", ".join(str(pack["paper"]) for pack in document["packs"]),
        audits=formatting.audits(document),
        several_texts=several_texts,
        tallies=_tallies(all_runs),
        figures=figures,
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
    )


@cache
def _template() -> "Template":
    """The template of the page, compiled once in a process."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_file),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=inert,
    )
    environment.globals |= {
        "formatting": formatting,
        "forest": forest,
        "strip_of": null_strip.null_strip,
        "decided": decided.decided,
        "reach": decided.reach,
        "unit_of": decided.unit,
    }
    return environment.get_template("report.html.j2")


def inert(value: Any) -> Any:
    """Text on one line with invisible and control characters escaped; values that are no text are unchanged.

    Jinja escapes markup; marks of writing direction, joiners and control characters are not markup, and are
    escaped here.
    """
    return printable(re.sub(r"\s+", " ", value)) if type(value) is str else value


def _file(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _documentation() -> str | None:
    """The address of the documentation that the installed package names; None if it names none."""
    try:
        named = metadata("moe-claims").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    found = (name.partition(", ") for name in named)
    return next((url for what, _, url in found if what == "Documentation" and url.startswith("https://")), None)


def _of_runs(entry: Row, runs: Together) -> str:
    """The runs that an audit, a card or an error is of; empty if it is of all."""
    return "" if not runs.labels or len(entry["runs"]) == len(runs.labels) else ", ".join(entry["runs"])


def _elsewhere(document: Row) -> list[tuple[str, str, str, list[view.Section]]]:
    """(Anchor, short title, title, sections) of every pack's evidence other than live measurements."""
    found: list[tuple[str, str, str, list[view.Section]]] = []
    for pack, said in formatting.packs(document):
        for name, title in pack["evidence"].items():
            anchor = f"evidence-{len(found)}"
            if sections := view.sections(document["results"], name, f"{anchor}-claim", pack["id"]):
                found.append((anchor, f"{title.partition(':')[0]}{said}", f"{title}{said}", sections))
    return found


def _tallies(runs: Together) -> list[tuple[str, dict[str, int]]]:
    """(Subject, count by outcome) for audits, further evidence and each measured model of each run."""
    document = runs.document
    kinds: list[tuple[str, Sequence[Row], str]] = [
        (f"Audits of {kind.what}", kind.rows, "outcome") for kind in formatting.audits(document)
    ]
    kinds += [
        (title, found, "verdict") for title, found in formatting.by_evidence(document) if found[0]["evidence"] != "live"
    ]
    measured: dict[tuple[str, str], list[Row]] = {}
    for row in document["results"]:
        if row["evidence"] == "live":
            measured.setdefault((row["model"], row["runs"][0]), []).append(row)
    for (model, run), rows in measured.items():
        kinds.append((f"{model} · {run}" if runs.labels else model, rows, "verdict"))
    signs = {"outcome": formatting.AUDIT_SIGNS, "verdict": formatting.SIGNS}
    return [(label, {word: sum(row[key] == word for row in rows) for word in signs[key]}) for label, rows, key in kinds]
