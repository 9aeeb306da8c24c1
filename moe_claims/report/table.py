"""Results for a terminal: tallies, tables with intervals, claims in full, errors, and the matrix of all models.

Pure functions from the results document to text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from moe_claims.printable import printable_throughout
from moe_claims.report import claim_in_full, formatting, matrix_table
from moe_claims.report.screen import SIGN_COLOURS, Cell, Screen

Document = Mapping[str, Any]

_CLAIM = 20
"""Columns that the names of claims get at least in a table with intervals, if they need as many."""


def render(document: Document, *, width: int = 120) -> str:
    """All tables as plain text, as the command ``report`` prints them; control characters are escaped.

    Args:
        document: the results document.
        width: columns of a line.
    """
    return summary(document, Screen(width), verbosity=1)


def summary(document: Document, screen: Screen, *, verbosity: int = 0) -> str:
    """What a run prints at its end: the matrix of claims and models, and before it what ``verbosity`` asks for.

    Args:
        document: the results document.
        screen: what it is to be shown on.
        verbosity: as pytest counts ``-v`` and ``-q``: below 0 errors and the matrix alone; 0 tallies of audits and of
            other evidence too; 1 tables with intervals in their place; 2 or more also every claim in full.
    """
    document = printable_throughout(document)
    sections = [
        *(_in_full(document, screen) if verbosity > 1 else []),
        *(_tables(document, screen) if verbosity > 0 else [_tallies(document, screen)] if verbosity == 0 else []),
        _errors(document["errors"], screen),
        matrix_table.render(document["results"], screen),
    ]
    return "\n\n".join(section for section in sections if section)


def _tallies(document: Document, screen: Screen) -> str:
    """One line per table of audits and per kind of evidence but live measurements, and one on what is not shown."""
    lines = []
    for audits in formatting.audits(document):
        lines.append(f"Audits of {audits.what}: {formatting.tally(audits.rows, 'outcome', formatting.AUDIT_SIGNS)}")
    for title, rows in formatting.by_evidence(document):
        if rows[0]["evidence"] != "live":
            lines.append(f"{title}: {formatting.tally(rows, 'verdict', formatting.SIGNS)}")
    if left_out := matrix_table.left_out(document["results"]):
        lines.append(f"Not applicable to any model of this run: {', '.join(left_out)}")
    return "\n".join(screen.paragraph(line) for line in lines)


def _in_full(document: Document, screen: Screen) -> list[str]:
    several = len(document["packs"]) > 1
    return [claim_in_full.render(row, screen, with_pack=several) for row in document["results"]]


def _tables(document: Document, screen: Screen) -> list[str]:
    return [
        *(_audits(audits, screen) for audits in formatting.audits(document)),
        *(_group(group, screen) for group in formatting.grouped(document)),
    ]


def _audits(audits: formatting.Audits, screen: Screen) -> str:
    signs: list[Cell] = [
        (f"{formatting.AUDIT_SIGNS[a['outcome']]} {a['outcome']}", SIGN_COLOURS[a["outcome"]]) for a in audits.rows
    ]
    headers = ["outcome", "audit", "what follows"]
    widths = [screen.width_of([headers[0], *signs]), screen.width_of([headers[1], *(a["id"] for a in audits.rows)])]
    title = screen.paragraph(f"Audits: {audits.what}, {audits.how}")
    if screen.left(widths) < 30:
        lines = [
            f"{screen.listed([sign, a['id']], ' ')}\n{screen.paragraph(a['reason'], first='  ')}"
            for sign, a in zip(signs, audits.rows, strict=True)
        ]
        return "\n".join([title, *lines])
    room = screen.left(widths)
    body = [
        # Wrapped at spaces, where names are folded at any punctuation.
        [sign, a["id"], Screen(room, encoding=screen.encoding).paragraph(a["reason"], indent="")]
        for sign, a in zip(signs, audits.rows, strict=True)
    ]
    return f"{title}\n{screen.table(headers, body, {})}"


def _group(group: formatting.Group, screen: Screen) -> str:
    parts = [_part(part, group.with_text, screen) for part in group.parts]
    return "\n".join([screen.paragraph(group.title), "\n\n".join(parts)])


def _part(part: formatting.Part, with_text: bool, screen: Screen) -> str:
    lines = [screen.paragraph(part.title)] if part.title else []
    if part.rows:
        lines.append(_results(part.rows, with_text, screen))
    lines += [screen.paragraph(note) for note in formatting.notes(part.rows)]
    for reason, claims in formatting.not_applicable_by_reason(part.not_applicable).items():
        said = f"{formatting.SIGNS['not-applicable']} not applicable: {claims}: {reason}"
        lines.append(screen.paragraph(said))
    return "\n".join(lines)


_HEADERS = ("verdict", "claim", "effect", "95 % interval", "adj. p", "random init", "paper")


def _results(rows: Sequence[Document], with_text: bool, screen: Screen) -> str:
    """The table of results: whole words if it fits so, then signs alone, then a list."""
    for words, short in ((True, False), (True, True), (False, True)):
        body = [_cells(row, with_text, words, short) for row in rows]
        keep = [i for i in range(len(_HEADERS)) if i < 4 or any(line[i] for line in body)]
        headers = [_HEADERS[i] if i or words else "" for i in keep]
        cells = [[line[i] for i in keep] for line in body]
        widths = {
            place: max(
                screen.width_of(line[place] for line in cells),
                screen.narrowest(header) if short else screen.columns(header),
            )
            for place, header in enumerate(headers)
        }
        room = screen.left(width for place, width in widths.items() if place != 1)
        if room >= min(widths[1], _CLAIM):
            folded = {1: min(widths[1], room)}
            folded |= {place: width for place, width in widths.items() if place > 1 and short}
            return screen.table(headers, cells, folded, right=2)
    return "\n".join(_listed(row, with_text, screen) for row in rows)


def _cells(row: Document, with_text: bool, words: bool, short: bool) -> list[Cell]:
    verdict = row["verdict"]
    sign = formatting.SIGNS[verdict]
    paper = formatting.paper(row)
    return [
        (f"{sign} {verdict}" if words else sign, SIGN_COLOURS[verdict]),
        formatting.name(row, with_text),
        formatting.effect(row),
        formatting.interval(row),
        formatting.p(row["p_adjusted"]),
        _short_control(row) if short else formatting.control(row),
        paper.replace(" (", "\n(") if short else paper,
    ]


def _short_control(row: Document) -> str:
    """The control's sign and effect, for which ``formatting.control`` has words too."""
    found = row["controls"].get("random_init")
    if not found or found["verdict"] is None:
        return formatting.control(row)
    mark = f" {formatting.ARTEFACT}" if formatting.artefact(row) else ""
    return f"{formatting.SIGNS[found['verdict']]} {formatting.number(found['effect'])}{mark}"


def _listed(row: Document, with_text: bool, screen: Screen) -> str:
    """A row as a list, where a table does not fit."""
    verdict = row["verdict"]
    p, control, paper = formatting.p(row["p_adjusted"]), _short_control(row), formatting.paper(row)
    parts = [f"{formatting.effect(row)} {formatting.interval(row)}"]
    parts += [f"{label} {text}" for label, text in (("adj. p", p), ("random init", control), ("paper", paper)) if text]
    head: list[Cell] = [(formatting.SIGNS[verdict], SIGN_COLOURS[verdict]), formatting.name(row, with_text)]
    return f"{screen.listed(head, ' ')}\n{screen.listed(parts, first='  ')}"


def _errors(errors: Sequence[Document], screen: Screen) -> str:
    if not errors:
        return ""
    lines = dict.fromkeys(f"{error['model'] or error['claim']}: {error['message']}" for error in errors)
    return "\n".join(
        [
            screen.painted("Could not be measured", "red"),
            *(screen.paragraph(line, first="  ", indent="    ", colour="red") for line in lines),
        ]
    )
