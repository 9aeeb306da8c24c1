"""The runs of a page: one results document each, and all of their rows in one list."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

Row = Mapping[str, Any]
Key = tuple[str, str, str | None, str, str | None]


@final
@dataclass(frozen=True)
class Changes:
    """What changed from the first run to another, in words."""

    headline: str
    """One sentence."""
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]]
    """(Title, headers, rows) of each table; cells are plain text."""
    marks: Mapping[Key, str]
    """``key_of`` a row of the other run → sign and word of the change, such as ``▼ worse``; others are the same."""
    how_to_read: Sequence[str] = ()
    """Sentences that explain the tables."""


@final
@dataclass(frozen=True)
class Run:
    """One run: a results document, and its name among those of the page."""

    document: Row
    label: str = ""
    """Name in the heads of columns; not shown if there is one run alone."""
    changes: Changes | None = None
    """What changed since the first run; None for the first."""


@final
@dataclass(frozen=True)
class Together:
    """The parts of several documents in one, in the form of a results document.

    Rows, audits, cards and errors are copies. ``runs`` of each is the labels of the runs that it is of; a row has its
    ``anchor`` on the page and its ``change`` too.
    """

    labels: tuple[str, ...]
    """Labels of the runs; empty if there is one run alone."""
    document: Row


def key_of(row: Row) -> Key:
    """What a row is of: two rows of different runs are the same test if this is the same."""
    return (row["evidence"], row["claim"], row["variant"], row["model"], row["corpus"])


def together(runs: Sequence[Run]) -> Together:
    """All documents of a page as one.

    Rows of models that were measured stay apart, run by run; all else that is exactly the same in several runs, such as
    audits of printed numbers, is there once.

    Raises:
        ValueError: there is no run, or two have one label.
    """
    labels = [run.label for run in runs]
    if not runs or len(set(labels)) < len(labels):
        raise ValueError("a page is of one run or more, each with a label of its own")
    rows = _merged(
        (row | {"change": "" if run.changes is None else run.changes.marks.get(key_of(row), "")}, run.label)
        for run in runs
        for row in run.document["results"]
    )
    rows = _side_by_side(rows)
    for place, row in enumerate(rows):
        row["anchor"] = f"row-{place}"
    document: dict[str, Any] = {
        "packs": _packs(runs),
        "results": rows,
        **{
            part: _merged((entry, run.label) for run in runs for entry in run.document[part])
            for part in ("audits", "models", "corpora", "errors")
        },
    }
    several = tuple(labels) if len(runs) > 1 else ()
    return Together(several, document)


def _merged(entries: Iterable[tuple[Row, str]]) -> list[dict[str, Any]]:
    """Copies of all entries with their ``runs``; equal ones of several runs are one, but for measured rows."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry, label in entries:
        own = label if entry.get("evidence") == "live" else ""
        same = found.setdefault((json.dumps(entry, sort_keys=True), own), {**entry, "runs": []})
        if label not in same["runs"]:
            same["runs"].append(label)
    return list(found.values())


def _side_by_side(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with those of one model next to each other, whatever their run; else in the order in which they came."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["evidence"], row["pack"], row["model"]), []).append(row)
    return [row for group in groups.values() for row in group]


def _packs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The packs of all runs by id; the evidence of a later run is added to that of earlier ones."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        for pack in run.document["packs"]:
            first = found.setdefault(pack["id"], {**pack})
            first["evidence"] = dict(first["evidence"])
            for name, title in pack["evidence"].items():
                first["evidence"].setdefault(name, title)
    return list(found.values())
