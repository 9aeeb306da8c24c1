"""The data of ``report.html``: plain values that the template renders."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, final

from moe_claims.judge.claim import Claim
from moe_claims.judge.registry import record
from moe_claims.report import formatting
from moe_claims.report.html.decided import reach

Row = Mapping[str, Any]

_RANKS = {verdict: rank for rank, verdict in enumerate(formatting.SIGNS)}
"""Verdict → rank, by which columns are sorted."""
_LAST = len(_RANKS)


@final
@dataclass(frozen=True)
class Column:
    """A column of the matrix: one model on one text, in one run."""

    model: str
    run: str
    """Label of the run."""
    text: str | None
    """Name of the text; None if no claim on behaviour was judged."""


@final
@dataclass(frozen=True)
class Cell:
    """A cell of the matrix: one verdict."""

    row: Row | None
    """The result row; None if there is none for this cell."""
    width: int
    """Number of columns that it spans: a claim on weights alone has one result for all texts of a model."""
    head: str
    """Head of its column in one line, for screens on which cells do not stand below it."""

    @property
    def rank(self) -> int:
        """Rank of the verdict, by which the table is sorted."""
        return _LAST if self.row is None else _RANKS[self.row["verdict"]]


@final
@dataclass(frozen=True)
class Line:
    """A line of the matrix: one claim, or one variant of it, on all models."""

    name: str
    claim: str
    record: Claim | None
    """Record of the claim; None if no installed pack has it."""
    family: str
    effect: str
    """Name of the effect, with its unit."""
    reach: str
    """From where on an effect is of interest, such as ``≥ 0.20``."""
    cells: tuple[Cell, ...]

    @property
    def ranks(self) -> list[int]:
        """Ranks of the verdicts, by column."""
        return [cell.rank for cell in self.cells for _ in range(cell.width)]

    @property
    def effects(self) -> list[float | None]:
        """Effects, by column; None where there is none."""
        return [
            None if cell.row is None else cell.row["effect"]["value"] for cell in self.cells for _ in range(cell.width)
        ]

    @property
    def changed(self) -> bool:
        """Whether a verdict differs from that of the first run, or cannot be compared with it."""
        return any(cell.row is not None and cell.row.get("change") for cell in self.cells)

    @property
    def verdicts(self) -> list[str]:
        """The verdicts of the line, each once."""
        return list(dict.fromkeys(cell.row["verdict"] for cell in self.cells if cell.row is not None))


@final
@dataclass(frozen=True)
class Matrix:
    """The verdicts of all live rows: a line per claim, a column per model and text."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    @property
    def models(self) -> list[tuple[str, int]]:
        """(Model, number of its columns), side by side as the columns are."""
        return [(name, len(list(some))) for name, some in groupby(column.model for column in self.columns)]

    @property
    def texts(self) -> list[str]:
        """Names of all texts, each once."""
        return list(dict.fromkeys(column.text for column in self.columns if column.text is not None))

    def under(self, column: Column) -> str:
        """Second head of a column: its run and its text, where there are several; empty if the model says it all."""
        parts = [column.run] if _several_runs(self) else []
        parts += [column.text or "weights"] if len(self.texts) > 1 else []
        return " · ".join(parts)


@final
@dataclass(frozen=True)
class Variant:
    """The rows of one variant of a claim; they differ in model and text only, and share an axis."""

    name: str | None
    rows: tuple[Row, ...]
    """Rows of models that the claim applies to."""
    not_applicable: Mapping[str, Sequence[Row]]
    """The other rows, by the reason why the claim does not apply."""

    @property
    def every(self) -> list[Row]:
        """All rows."""
        return [*self.rows, *(row for rows in self.not_applicable.values() for row in rows)]

    @property
    def interval_methods(self) -> list[str]:
        """How the intervals were made, each once."""
        return list(dict.fromkeys(row["effect"]["ci_method"] for row in self.rows if row["effect"]["ci_method"]))


@final
@dataclass(frozen=True)
class Section:
    """Everything about one claim, from one kind of evidence."""

    anchor: str
    name: str
    """The claim's id, with its pack where there are several."""
    claim: str
    """As the lines of the matrix know it."""
    record: Claim | None
    """Record of the claim; None if no installed pack has it."""
    family: str
    variants: tuple[Variant, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by verdict, for verdicts that occur."""
        rows = [row for variant in self.variants for row in variant.every]
        return {word: n for word in formatting.SIGNS if (n := sum(row["verdict"] == word for row in rows))}


def matrix(results: Sequence[Row]) -> Matrix:
    """The matrix of all live rows, given the rows of all runs as ``runs.together`` makes them."""
    live = [row for row in results if row["evidence"] == "live"]
    columns = Matrix(_columns(live), ())
    packs = len({row["pack"] for row in live}) > 1
    lines = (
        Line(
            formatting.name(rows[0], with_pack=packs),
            claim,
            record(claim, "live"),
            rows[0]["family"],
            rows[0]["effect"]["name"],
            reach(rows[0]),
            tuple(_cells(rows, columns)),
        )
        for (claim, _), rows in _by(live, "claim", "variant").items()
    )
    return Matrix(columns.columns, tuple(lines))


def sections(
    results: Sequence[Row], evidence: str, anchor: str | None = None, pack: str | None = None
) -> list[Section]:
    """One section per claim of one kind of evidence, such as ``live``.

    Args:
        results: rows of the document.
        evidence: name of the evidence.
        anchor: prefix of the anchors; by default ``evidence``, which is safe for ``live`` only.
        pack: only claims of this pack; by default those of all packs.
    """
    chosen = [row for row in results if row["evidence"] == evidence and pack in (None, row["pack"])]
    packs = len({row["pack"] for row in results}) > 1
    return [
        Section(
            f"{anchor or evidence}-{index}",
            claim if packs else formatting.claim(rows[0]),
            claim,
            record(claim, evidence),
            rows[0]["family"],
            tuple(_variant(name, members) for (name,), members in _by(rows, "variant").items()),
        )
        for index, ((claim,), rows) in enumerate(_by(chosen, "claim").items())
    ]


def label_of(row: Row, several_texts: bool, labels: Sequence[str]) -> str:
    """Label of a row among those of one claim: its model, and its text and runs if there are several.

    Args:
        row: a row as ``runs.together`` makes it.
        several_texts: whether rows of a model on several texts are there.
        labels: labels of all runs; empty if there is one alone.
    """
    parts = [str(row["model"])]
    parts += [row["corpus"]] if several_texts and row["corpus"] else []
    parts += [", ".join(row["runs"])] if labels and list(row["runs"]) != list(labels) else []
    return " · ".join(parts)


def _columns(live: Sequence[Row]) -> tuple[Column, ...]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in live:
        texts = found.setdefault((row["model"], row["runs"][0]), [])
        if row["corpus"] is not None and row["corpus"] not in texts:
            texts.append(row["corpus"])
    places = {model: place for place, model in enumerate(dict.fromkeys(model for model, _ in found))}
    ordered = sorted(found, key=lambda key: places[key[0]])  # runs of one model next to each other
    return tuple(Column(model, run, text) for model, run in ordered for text in found[model, run] or (None,))


def _cells(rows: Sequence[Row], matrix: Matrix) -> Iterator[Cell]:
    there = {(row["model"], row["runs"][0], row["corpus"]): row for row in rows}
    for (model, run), some in groupby(matrix.columns, key=lambda column: (column.model, column.run)):
        columns = list(some)
        whole = there.get((model, run, None))
        if whole is not None:
            yield Cell(whole, len(columns), f"{model} · {run}" if _several_runs(matrix) else model)
            continue
        for column in columns:
            head = " · ".join(filter(None, (model, matrix.under(column))))
            yield Cell(there.get((model, run, column.text)), 1, head)


def _several_runs(matrix: Matrix) -> bool:
    return len({column.run for column in matrix.columns}) > 1


def _variant(name: str | None, rows: Sequence[Row]) -> Variant:
    aside: dict[str, list[Row]] = {}
    for row in rows:
        if row["verdict"] == "not-applicable":
            aside.setdefault(row["reason"], []).append(row)
    return Variant(name, tuple(row for row in rows if row["verdict"] != "not-applicable"), aside)


def _by(rows: Sequence[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found
