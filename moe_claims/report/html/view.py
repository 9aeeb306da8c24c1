"""The data of ``report.html``: plain values that the template renders."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from moe_claims.judge.claim import Claim
from moe_claims.judge.registry import record
from moe_claims.report import formatting

Row = Mapping[str, Any]

_RANKS = {verdict: rank for rank, verdict in enumerate(formatting.SIGNS)}
"""Verdict → rank, by which columns are sorted."""
_LAST = len(_RANKS)


@final
@dataclass(frozen=True)
class Column:
    """A column of the matrix: one model on one text."""

    model: str
    text: str | None
    """Name of the text; None if no claim on behaviour was judged."""


@final
@dataclass(frozen=True)
class Cell:
    """A cell of the matrix: one verdict."""

    row: Row | None
    """The result row; None if there is none for this cell."""
    anchor: str
    """HTML anchor of the row in the details; empty if there is none."""
    width: int
    """Number of columns that it spans: a claim on weights alone has one result for all texts of a model."""

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
    family: str
    cells: tuple[Cell, ...]

    @property
    def ranks(self) -> list[int]:
        """Ranks of the verdicts, by column."""
        return [cell.rank for cell in self.cells for _ in range(cell.width)]

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
    def models(self) -> dict[str, int]:
        """Model → number of its columns."""
        return _widths(self.columns)

    @property
    def texts(self) -> list[str]:
        """Names of all texts, each once."""
        return list(dict.fromkeys(column.text for column in self.columns if column.text is not None))


@final
@dataclass(frozen=True)
class Variant:
    """The rows of one variant of a claim; they differ in model and text only, and share an axis."""

    name: str | None
    rows: tuple[Row, ...]
    """Rows of models that the claim applies to."""
    not_applicable: Mapping[str, Sequence[Row]]
    """The other rows, by the reason why the claim does not apply."""


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


def anchors(results: Sequence[Row]) -> dict[int, str]:
    """``id(row)`` → HTML anchor of the row, made of its index, since names of models may hold any character."""
    return {id(row): f"row-{index}" for index, row in enumerate(results)}


def matrix(results: Sequence[Row]) -> Matrix:
    """The matrix of all live rows."""
    live = [row for row in results if row["evidence"] == "live"]
    known = anchors(results)
    columns = _columns(live)
    packs = len({row["pack"] for row in live}) > 1
    lines = (
        Line(formatting.name(rows[0], with_pack=packs), claim, rows[0]["family"], tuple(_cells(rows, columns, known)))
        for (claim, _), rows in _by(live, "claim", "variant").items()
    )
    return Matrix(columns, tuple(lines))


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


def model_and_text(row: Row, several_texts: bool) -> str:
    """Label of a row among those of one claim: its model, and its text if there are several."""
    return f"{row['model']} · {row['corpus']}" if several_texts and row["corpus"] else str(row["model"])


def _columns(live: Sequence[Row]) -> tuple[Column, ...]:
    found: dict[str, list[str]] = {}
    for row in live:
        texts = found.setdefault(row["model"], [])
        if row["corpus"] is not None and row["corpus"] not in texts:
            texts.append(row["corpus"])
    return tuple(Column(model, text) for model, texts in found.items() for text in texts or (None,))


def _widths(columns: Sequence[Column]) -> dict[str, int]:
    names = [column.model for column in columns]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _cells(rows: Sequence[Row], columns: Sequence[Column], known: Mapping[int, str]) -> Iterator[Cell]:
    there = {(row["model"], row["corpus"]): row for row in rows}
    for model, width in _widths(columns).items():
        whole = there.get((model, None))
        if whole is not None:
            yield Cell(whole, known[id(whole)], width)
            continue
        for column in columns:
            if column.model == model:
                row = there.get((model, column.text))
                yield Cell(row, "" if row is None else known[id(row)], 1)


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
