"""The results as CSV: a line per row of ``results``, with numbers in full precision.

UTF-8 with commas, quotes and line ends as in RFC 4180. An empty cell is a missing value; booleans are ``true`` and
``false``; numbers are read back exactly. Non-printable characters are escaped as by ``printable``, so that every row
is one line. Spreadsheets evaluate text that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, so such text, and
text that begins with an apostrophe, gets an apostrophe in front; removing it restores the text. Audits, models and
errors are not included.
"""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from moe_claims.judge.registry import record
from moe_claims.printable import printable
from moe_claims.report import formatting

Row = Mapping[str, Any]

# East Asian spreadsheets also read the full-width forms as formulas.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")

_OWN = ("pack", "claim", "claim_version", "variant", "evidence", "family", "model", "corpus", "verdict", "reason")
_EFFECT = {
    "effect_name": "name",
    "effect": "value",
    "ci_low": "ci_low",
    "ci_high": "ci_high",
    "ci_level": "level",
    "ci_method": "ci_method",
    "smallest_of_interest": "smallest_of_interest",
}
_TEST = ("p_value", "p_adjusted", "n_units", "unit", "null")
_PUBLISHED = ("model", "paper_says", "value", "standard_error", "none", "place", "note")
_CONTROL = ("verdict", "effect", "artefact", "reason")
_CRITERIA = (*formatting.CRITERIA, "pooled_estimate", "standard_error_origin")

COLUMNS = (
    *(*_OWN, *_EFFECT, *_TEST),
    *(f"published_{name}" for name in _PUBLISHED),
    *(f"criteria_{name}" for name in (*_CRITERIA, "pooled_low", "pooled_high", "reason")),
    *(f"random_init_{name}" for name in _CONTROL),
    *("companions", "details", "statement"),
)
"""Names of the columns, as in the first line. Companions and details are JSON objects, since their names vary."""


def render(document: Row) -> str:
    """The rows of the results document as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in document["results"]:
        values = _values(row)
        writer.writerow(_cell(values.get(column)) for column in COLUMNS)
    return text.getvalue()


def _values(row: Row) -> dict[str, Any]:
    """The values of a row by column; missing ones are left out."""
    published, criteria = row["published"] or {}, row["criteria"] or {}
    control = row["controls"].get("random_init", {})
    pooled = criteria.get("pooled") or {}
    known = record(row["claim"], row["evidence"])
    return {
        **{name: row[name] for name in (*_OWN, *_TEST)},
        **{column: row["effect"][name] for column, name in _EFFECT.items()},
        **{f"published_{name}": published.get(name) for name in _PUBLISHED},
        **{f"criteria_{name}": criteria.get(name) for name in (*_CRITERIA, "reason")},
        **{f"criteria_pooled_{end}": pooled.get(end) for end in ("low", "high")},
        **{f"random_init_{name}": control.get(name) for name in _CONTROL},
        "companions": json.dumps(_companions(row)) if row["companions"] else None,
        "details": json.dumps(row["details"]) if row["details"] else None,
        "statement": None if known is None else known.statement,
    }


def _companions(row: Row) -> dict[str, Any]:
    """Further estimates by name, each with the paper's value and the replication criteria."""
    published = row["published"]["companions"] if row["published"] else {}
    criteria = row["criteria"]["companions"] if row["criteria"] else {}
    return {
        name: {**found, "published": published.get(name), "criteria": criteria.get(name)}
        for name, found in row["companions"].items()
    }


def _cell(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return repr(value)  # the shortest text that is read back as the same number
