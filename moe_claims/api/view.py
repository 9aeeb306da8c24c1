"""A report at a glance: one compact table, for a terminal and for a notebook."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from moe_claims.printable import one_line, printable_throughout
from moe_claims.report import formatting
from moe_claims.report.model_matrix import LEGEND, short, side_by_side

Row = Mapping[str, Any]

_TERMINAL = {
    "replicated": "green",
    "direction-only": "yellow",
    "contradicted": "red",
    "absent": "cyan",
    "inconclusive": "dim",
    "not-applicable": "dim",
}
_PAGE = {
    "replicated": "#2da44e",
    "direction-only": "#bf8700",
    "contradicted": "#e5534b",
    "absent": "#3b82d0",
    "inconclusive": "#858d96",
    "not-applicable": "#858d96",
}
"""Colours that can be read on white and on black. The sign says the same."""

_CLAIM = 12
"""Least width of the column with claims, which are folded."""
_NAME = 16
"""Width to which names of models are folded above their columns."""

_HTML = """\
<div class="moe-claims">
{% if table.rows %}
<table>
<thead><tr>
{% for header in table.headers %}<th style="text-align: left"><bdi>{{ header }}</bdi></th>{% endfor %}
</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>{% for cell in row %}
<td style="text-align: left; white-space: nowrap{% if cell.verdict in colours %}; color: {{ colours[cell.verdict] }}\
{% endif %}"><bdi>{{ cell.text }}</bdi></td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% for note in table.notes %}<div><bdi>{{ note }}</bdi></div>
{% endfor %}
</div>
"""


@final
@dataclass(frozen=True)
class Cell:
    """A cell of the table."""

    text: str
    verdict: str | None = None
    """The verdict that the cell shows, for its colour; None if it shows none."""


@final
@dataclass(frozen=True)
class Table:
    """The table: of one model, a line per test; of several, the matrix of claims and models."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    """Lines below the table: tallies of what is not in it, errors, and what the signs mean."""


def table_of(document: Row) -> Table:
    """The table of a results document. Every text in it is on one line, without signs that steer or hide."""
    safe = printable_throughout(document)
    live = [row for row in safe["results"] if row["evidence"] == "live"]
    models = tuple(dict.fromkeys(row["model"] for row in live))
    headers, rows = _one_model(live) if len(models) == 1 else _several_models(live)
    return Table(
        tuple(map(one_line, headers)),
        tuple(tuple(Cell(one_line(cell.text), cell.verdict) for cell in row) for row in rows),
        tuple(map(one_line, _notes(safe, models))),
    )


def _one_model(live: Sequence[Row]) -> tuple[list[str], list[list[Cell]]]:
    texts = len({row["corpus"] for row in live if row["corpus"] is not None}) > 1
    packs = len({row["pack"] for row in live}) > 1
    rows = [
        [
            Cell(f"{formatting.SIGNS[row['verdict']]} {row['verdict']}", row["verdict"]),
            Cell(formatting.name(row, texts, packs)),
            Cell(formatting.effect(row) + (f" {formatting.ARTEFACT}" if formatting.artefact(row) else "")),
            Cell(formatting.interval(row)),
            Cell(formatting.p(row["p_adjusted"])),
            Cell(formatting.control(row)),
        ]
        for row in live
        if row["verdict"] != "not-applicable"
    ]
    headers = ["verdict", "claim", "effect", "95 % interval", "adj. p", "random init"]
    if not any(row[-1].text for row in rows):  # no control was run
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    return headers, rows


def _several_models(live: Sequence[Row]) -> tuple[list[str], list[list[Cell]]]:
    found = side_by_side(live)
    rows = [
        [Cell(claim), *(Cell(short(row), None if row is None else row["verdict"]) for row in of_models)]
        for claim, of_models in found.rows
    ]
    return ["claim", *found.models], rows


def _notes(document: Row, models: Sequence[str]) -> list[str]:
    notes = []
    if len(models) > 1:
        notes.append(LEGEND)
    elif models:
        live = [row for row in document["results"] if row["evidence"] == "live"]
        notes.append(f"{models[0]}: {formatting.tally(live, 'verdict', formatting.SIGNS)}")
        notes += [note for note in formatting.notes(live) if note.startswith(formatting.ARTEFACT)]
    notes += [
        f"{title}: {formatting.tally(rows, 'verdict', formatting.SIGNS)}"
        for title, rows in formatting.by_evidence(document)
        if rows[0]["evidence"] != "live"
    ]
    notes += [
        f"Audits of {audits.what}: {formatting.tally(audits.rows, 'outcome', formatting.AUDIT_SIGNS)}"
        for audits in formatting.audits(document)
    ]
    errors = dict.fromkeys((error["model"] or error["claim"], error["message"]) for error in document["errors"])
    return notes + [f"Could not be measured: {who}: {message}" for who, message in errors]


def summary(document: Row) -> str:
    """Models and counts of verdicts in one line."""
    live = list(dict.fromkeys(row["model"] for row in document["results"] if row["evidence"] == "live"))
    counts = formatting.tally(document["results"], "verdict", formatting.SIGNS) or "no verdicts"
    errors = len(document["errors"])
    return one_line(
        "; ".join([*([", ".join(live)] if live else []), counts, *([f"{errors} errors"] if errors else [])])
    )


def html(document: Row) -> str:
    """The table as a piece of HTML, without scripts; names are escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_HTML).render(table=table_of(document), colours=_PAGE)


def write(document: Row) -> None:
    """Writes the table to standard output; what its encoding lacks is written as an escape."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = table_of(document)
    console = Console(highlight=False)
    with console.capture() as captured:
        for headers, rows in _fitting(table, console.width):
            drawn = RichTable(box=None, pad_edge=False, header_style="bold")
            for header in headers:  # names are folded, numbers are not, and nothing is cut off
                drawn.add_column(Text(header), overflow="fold", min_width=_width(headers, rows, header))
            for row in rows:
                drawn.add_row(*(Text(cell.text, style=_TERMINAL.get(cell.verdict or "", "")) for cell in row))
            console.print(drawn)
            console.print()
        for note in table.notes:
            console.print(Text(note))
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    sys.stdout.write(captured.get().encode(encoding, "backslashreplace").decode(encoding))


_Part = tuple[tuple[str, ...], list[tuple[Cell, ...]]]
"""Headers and rows of a table that fits."""


def _fitting(table: Table, width: int) -> list[_Part]:
    """The table in parts that fit: fewer columns of one model, or some of several models at a time."""
    headers, rows = table.headers, list(table.rows)
    if not rows:
        return []
    if headers[0] != "claim":
        sign = [(Cell(row[0].text[:1], row[0].verdict), *row[1:]) for row in rows]
        parts_of_one: list[_Part] = [(headers, rows)]
        parts_of_one += [(("", *headers[1:count]), [row[:count] for row in sign]) for count in (6, 5, 4)]
        return [next((part for part in parts_of_one if _total(part) <= width), parts_of_one[-1])]
    parts: list[list[int]] = [[]]
    left = room = width - _CLAIM
    for column in range(1, len(headers)):
        needed = _needed(headers, rows, column) + 2
        if parts[-1] and needed > left:
            parts.append([])
            left = room
        parts[-1].append(column)
        left -= needed
    return [
        (tuple(headers[i] for i in (0, *part)), [tuple(row[i] for i in (0, *part)) for row in rows]) for part in parts
    ]


def _width(headers: Sequence[str], rows: Sequence[Sequence[Cell]], header: str) -> int:
    return _CLAIM if header == "claim" else _needed(headers, rows, list(headers).index(header))


def _total(part: _Part) -> int:
    headers, rows = part
    return sum(_width(headers, rows, header) + 2 for header in headers) + _CLAIM // 2


def _needed(headers: Sequence[str], rows: Sequence[Sequence[Cell]], column: int) -> int:
    """Width of a column whose cells are not folded."""
    return max(min(len(headers[column]), _NAME), *(len(row[column].text) for row in rows))
