"""Comparisons of results files as text for a terminal, as Markdown and as JSON."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, final

from tabulate import tabulate

from moe_claims.compare.pairs import Comparison, Pair
from moe_claims.judge.claim import key_of
from moe_claims.printable import one_line
from moe_claims.report import formatting
from moe_claims.report.markdown_text import escape, table
from moe_claims.types import Interval

Row = Mapping[str, Any]

SIGNS = {"better": "▲", "worse": "▼", "other": "◆", "void": "≠", "same": "="}
"""Sign of each kind of change, so that no reader depends on colour."""
_FIRST = ("worse", "better", "other")
OFF_ZERO = "*"
"""Mark of a difference whose interval excludes zero."""

HOW_TO_READ = (
    "Verdicts in order of how much they speak for the claim: replicated, direction-only, inconclusive and absent "
    "(neither more than the other), contradicted; not-applicable is outside of the order.",
    f"Differences are later less earlier. Their intervals come from the two separate ones (MOVER), as if the runs were "
    f"independent: on one text they are not, and the interval is wider than it need be. {OFF_ZERO} it leaves zero out. "
    "Nothing is corrected over rows.",
)


@final
@dataclass(frozen=True)
class Compared:
    """The comparison of one results file with the baseline."""

    earlier: str
    """File name of the baseline."""
    later: str
    """File name of the other results."""
    comparison: Comparison


@final
@dataclass(frozen=True)
class Section:
    """A table of a comparison; cells are plain text."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def headline(found: Compared) -> str:
    """Summary in one line: changes of the common rows, and numbers of the others."""
    it = found.comparison
    counts = {
        "worse": it.count("worse"),
        "better": it.count("better"),
        "otherwise changed": it.count("other"),
        "of the same verdict": it.count("same"),
        "not comparable": it.count("void"),
        "new": len(it.new),
        "missing": len(it.missing),
    }
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    errors = f"; new errors: {len(it.new_errors)}" if it.new_errors else ""
    models = _models(it)
    of = f", {_arrow(*models[0])}" if len(models) == 1 else ""
    return f"{found.later} against {found.earlier}{of}: {said or 'no rows'}{errors}"


def unpaired(found: Compared) -> str | None:
    """Message that no measured model is in both files, and what to do; None if one is, or if a file has none."""
    it = found.comparison
    if any(pair.before["evidence"] == "live" for pair in it.pairs) or not it.alone_before or not it.alone_after:
        return None
    pair = "OLD=NEW"
    if len(it.alone_before) == len(it.alone_after) == 1:
        pair = shlex.quote(f"{it.alone_before[0]}={it.alone_after[0]}")
    return (
        f"no row of a measured model is in common: {found.earlier} has {', '.join(it.alone_before)}, {found.later} has "
        f"{', '.join(it.alone_after)}; to compare the one with the other, add --models {pair}"
    )


def sections(comparison: Comparison) -> list[Section]:
    """The non-empty tables of a comparison."""
    changed = [pair for pair in comparison.pairs if pair.change in _FIRST]
    changed.sort(key=lambda pair: _FIRST.index(pair.change))
    moved = [pair for pair in comparison.pairs if pair.change == "same" and not pair.same_numbers]
    void = [pair for pair in comparison.pairs if pair.void]
    with_model = len(_models(comparison)) > 1
    with_pack = len({row["pack"] for row in _rows(comparison)}) > 1
    both = ("change", "claim", "verdict", "effect then", "effect now", "difference", "95 % interval")
    found = [
        Section(
            "What the numbers depend on differs",
            ("what", "then", "now"),
            tuple((depends.what, _value(depends.before), _value(depends.after)) for depends in comparison.depends),
        ),
        Section("Verdicts that changed", both, tuple(_pair(pair, with_model, with_pack) for pair in changed)),
        Section(
            "The same verdict, other effects", both[1:], tuple(_pair(pair, with_model, with_pack)[1:] for pair in moved)
        ),
        Section(
            "Not comparable",
            ("claim", "then", "now", "because"),
            tuple((_name(p, with_model, with_pack), _sign(p.before), _sign(p.after), str(p.void)) for p in void),
        ),
        _alone("New rows", comparison.new, [pair.after["model"] for pair in comparison.pairs], with_pack),
        _alone("Missing rows", comparison.missing, [pair.before["model"] for pair in comparison.pairs], with_pack),
        Section(
            "Audits that differ",
            ("audit", "then", "now"),
            tuple((audit.id, audit.before or "–", audit.after or "–") for audit in comparison.audits),
        ),
        Section("New errors", ("of", "message"), tuple(_error(error) for error in comparison.new_errors)),
        Section("Errors that are gone", ("of", "message"), tuple(_error(error) for error in comparison.gone_errors)),
    ]
    return [section for section in found if section.rows]


def render(compared: Sequence[Compared], *, width: int = 120) -> str:
    """The comparisons as plain text for a terminal.

    Args:
        compared: comparisons of one or more files with one baseline.
        width: columns that sentences are wrapped to.
    """
    parts = []
    for found in compared:
        parts += [_wrapped(line, width) for line in (headline(found), unpaired(found)) if line]
        parts += [_table(section) for section in sections(found.comparison)]
    return "\n\n".join([*parts, *(_wrapped(line, width) for line in HOW_TO_READ)])


def markdown(compared: Sequence[Compared]) -> str:
    """The comparisons as Markdown; text from the files is escaped."""
    parts = ["# Comparison of results"]
    for found in compared:
        parts += [f"## {_escaped(found.later)} against {_escaped(found.earlier)}", f"{_escaped(headline(found))}."]
        warning = unpaired(found)
        parts += [f"{_escaped(warning)}."] if warning else []
        for section in sections(found.comparison):
            rows = [[_escaped(cell) for cell in row] for row in section.rows]
            parts += [f"### {section.title}", table(section.headers, rows)]
    return "\n\n".join([*parts, "## How to read this", *(_escaped(line) for line in HOW_TO_READ)]) + "\n"


def document(compared: Sequence[Compared]) -> dict[str, Any]:
    """The comparisons as a JSON document, with unrounded numbers."""
    return {"comparison_version": 1, "comparisons": [_document(found) for found in compared]}


def _document(found: Compared) -> dict[str, Any]:
    it = found.comparison
    return {
        "earlier": found.earlier,
        "later": found.later,
        "worse": it.worse,
        "changed": it.changed,
        "depends_on": [{"what": d.what, "earlier": d.before, "later": d.after} for d in it.depends],
        "rows": [
            {
                **_identity(pair.before),
                "later_model": pair.after["model"],
                "change": pair.change,
                "not_comparable": pair.void,
                "notes": list(pair.notes),
                "earlier": _numbers(pair.before),
                "later": _numbers(pair.after),
                "difference": None if pair.apart is None else _difference(pair),
            }
            for pair in it.pairs
        ],
        "new": [{**_identity(row), **_numbers(row)} for row in it.new],
        "missing": [{**_identity(row), **_numbers(row)} for row in it.missing],
        "audits": [{"id": a.id, "earlier": a.before, "later": a.after} for a in it.audits],
        "new_errors": [dict(error) for error in it.new_errors],
        "gone_errors": [dict(error) for error in it.gone_errors],
    }


def _identity(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("evidence", "claim", "variant", "model", "corpus")}


def _numbers(row: Row) -> dict[str, Any]:
    effect = row["effect"]
    return {"verdict": row["verdict"], "effect": effect["value"], **{n: effect[n] for n in ("ci_low", "ci_high")}}


def _difference(pair: Pair) -> dict[str, Any]:
    assert pair.apart is not None
    interval = pair.apart.interval
    return {
        "value": pair.apart.value,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "ci_method": interval.method,
        "level": interval.level,
    }


def _pair(pair: Pair, with_model: bool, with_pack: bool) -> tuple[str, ...]:
    before, after = pair.before, pair.after
    difference = interval = ""
    if pair.apart is not None:
        digits = max(formatting.decimals(before), formatting.decimals(after))
        difference = ("+" if pair.apart.value > 0 else "") + formatting.number(pair.apart.value, digits=digits)
        interval = _interval(pair.apart.interval, digits) + (f" {OFF_ZERO}" if pair.apart.off_zero else "")
    verdict = _sign(after) if before["verdict"] == after["verdict"] else f"{_sign(before)} → {_sign(after)}"
    notes = f" ({'; '.join(pair.notes)})" if pair.notes else ""
    return (
        f"{SIGNS[pair.change]} {pair.change}",
        _name(pair, with_model, with_pack),
        verdict + notes,
        formatting.effect(before),
        formatting.effect(after),
        difference,
        interval,
    )


def _interval(found: Interval, digits: int) -> str:
    """An interval as text; if it excludes zero, with enough decimals to show that."""
    nearest = min(abs(found.low), abs(found.high))
    while found.low * found.high > 0 and digits < 9 and nearest < 10**-digits:
        digits += 1
    return formatting.ends(found.low, found.high, digits)


def _models(comparison: Comparison) -> list[tuple[str, str]]:
    """(Earlier name, later name) of the models of the common rows."""
    return list(dict.fromkeys((pair.before["model"], pair.after["model"]) for pair in comparison.pairs))


def _arrow(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _rows(comparison: Comparison) -> list[Row]:
    return [*(pair.before for pair in comparison.pairs), *comparison.new, *comparison.missing]


def _name(pair: Pair, with_model: bool, with_pack: bool) -> str:
    return _label(pair.before, _arrow(pair.before["model"], pair.after["model"]) if with_model else None, with_pack)


def _label(row: Row, model: str | None, with_pack: bool) -> str:
    claim = row["claim"] if with_pack else formatting.claim(row)
    return " · ".join(part for part in (key_of(claim, row["variant"]), model, row["corpus"]) if part)


def _alone(title: str, rows: Sequence[Row], in_common: Sequence[str], with_pack: bool) -> Section:
    """The table of rows that only one file has; rows of models without common rows are only counted."""
    body = []
    for model in dict.fromkeys(row["model"] for row in rows):
        members = [row for row in rows if row["model"] == model]
        if model in in_common:
            body += [
                (_label(row, model, with_pack), _sign(row), formatting.effect(row), formatting.interval(row))
                for row in members
            ]
        else:
            body.append(
                (f"all {len(members)} of {model}", formatting.tally(members, "verdict", formatting.SIGNS), "", "")
            )
    return Section(title, ("claim", "verdict", "effect", "95 % interval"), tuple(body))


def _sign(row: Row) -> str:
    return f"{formatting.SIGNS[row['verdict']]} {row['verdict']}"


def _error(error: Row) -> tuple[str, str]:
    return " · ".join(part for part in (error["model"], error["claim"]) if part), error["message"]


def _value(value: object) -> str:
    """Text of a value in a ``Dependence``; hashes are shortened."""
    if value is None:
        return "–"
    text = str(value)
    return f"{text[:12]}…" if len(text) in (40, 64) and set(text) <= set("0123456789abcdef") else text


def _escaped(text: str) -> str:
    return escape(one_line(text))


def _wrapped(text: str, width: int) -> str:
    return fill(one_line(text), width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


_WIDEST = {"then": 40, "now": 40, "because": 60, "message": 80}
"""Header → largest width of its cells on a terminal; longer cells are wrapped."""


def _table(section: Section) -> str:
    body: str = tabulate(
        [[one_line(cell) for cell in row] for row in section.rows],
        headers=section.headers,
        tablefmt="simple",
        maxcolwidths=[_WIDEST.get(header) for header in section.headers],
        disable_numparse=True,
    )
    return "\n".join([section.title, *(line.rstrip() for line in body.splitlines())])
