"""``report.html``: the whole report as one self-contained file."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from moe_claims.printable import printable
from moe_claims.report import formatting
from moe_claims.report.html import forest, null_strip, view

Row = Mapping[str, Any]


def render(document: Row, figures: Sequence[Mapping[str, str]] = ()) -> str:
    """The results document as one HTML page. It loads nothing from elsewhere, and names in it cannot run code.

    Args:
        document: the results document.
        figures: mappings with ``title``, ``caption`` and ``uri`` (a ``data:`` URI), shown in this order.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    style, script = (files(__name__).joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=inert
    )
    template = environment.from_string(files(__name__).joinpath("report.html.j2").read_text(encoding="utf-8"))
    results = document["results"]
    live = [row for row in results if row["evidence"] == "live"]
    anchors = view.anchors(results)
    several_texts = len({row["corpus"] for row in live if row["corpus"] is not None}) > 1
    return template.render(
        formatting=formatting,
        forest=forest,
        strip_of=null_strip.null_strip,
        document=document,
        anchor=lambda row: anchors[id(row)],
        with_text=lambda row: view.model_and_text(row, several_texts),
        model=lambda row: str(row["model"]),
        errors=list(dict.fromkeys((e["model"] or e["claim"], e["message"]) for e in document["errors"])),
        matrix=view.matrix(results),
        live=view.sections(results, "live"),
        elsewhere=_elsewhere(document),
        papers=", ".join(str(pack["paper"]) for pack in document["packs"]),
        audits=formatting.audits(document),
        several_texts=several_texts,
        tallies=_tallies(document),
        figures=figures,
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
    )


def inert(value: Any) -> Any:
    """Text on one line with invisible and control characters escaped; values that are no text are unchanged.

    Jinja escapes markup; marks of writing direction, joiners and control characters are not markup, and are
    escaped here.
    """
    return printable(re.sub(r"\s+", " ", value)) if type(value) is str else value


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _elsewhere(document: Row) -> list[tuple[str, str, str, list[view.Section]]]:
    """(Anchor, short title, title, sections) of every pack's evidence other than live measurements."""
    found: list[tuple[str, str, str, list[view.Section]]] = []
    for pack, said in formatting.packs(document):
        for name, title in pack["evidence"].items():
            anchor = f"evidence-{len(found)}"
            if sections := view.sections(document["results"], name, f"{anchor}-claim", pack["id"]):
                found.append((anchor, f"{title.partition(':')[0]}{said}", f"{title}{said}", sections))
    return found


def _tallies(document: Row) -> list[tuple[str, str]]:
    """(Subject, tally of outcomes) for audits, further evidence and each live model."""
    rows = document["results"]
    kinds = [
        (f"Audits of {kind.what}", formatting.tally(kind.rows, "outcome", formatting.AUDIT_SIGNS))
        for kind in formatting.audits(document)
    ]
    kinds += [
        (title, formatting.tally(found, "verdict", formatting.SIGNS))
        for title, found in formatting.by_evidence(document)
        if found[0]["evidence"] != "live"
    ]
    live = [row for row in rows if row["evidence"] == "live"]
    for model in dict.fromkeys(row["model"] for row in live):
        kinds.append(
            (model, formatting.tally([row for row in live if row["model"] == model], "verdict", formatting.SIGNS))
        )
    return [(label, tally) for label, tally in kinds if tally]
