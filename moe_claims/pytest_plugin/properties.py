"""A test's result in the reports of other tools: properties for JUnit XML, a small table for pytest-html."""

from collections.abc import Mapping
from html import escape
from typing import Any

from moe_claims.printable import printable
from moe_claims.report import formatting

Row = Mapping[str, Any]

Properties = list[tuple[str, str | float]]


def properties(kind: str, content: Row) -> Properties:
    """A row as (name, value) pairs; missing values are left out.

    Args:
        kind: ``result``, ``audit`` or ``error``; other kinds have no properties.
        content: a row of that part of the results document.
    """
    match kind:
        case "result":
            found = _of_result(content)
        case "audit":
            found = {"audit": content["id"], **{key: content[key] for key in _AUDIT}}
        case "error":
            found = {"claim": content["claim"], "model": content["model"], "error": content["message"]}
        case _:
            found = {}
    return [
        (name, printable(value) if isinstance(value, str) else value)
        for name, value in found.items()
        if value is not None
    ]


_AUDIT = ("outcome", "printed", "recomputed", "reason")


def _of_result(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("claim", "variant", "evidence", "model")},
        "text": row["corpus"],
        "verdict": row["verdict"],
        "effect": row["effect"]["value"],
        **{name: row["effect"][name] for name in ("ci_low", "ci_high")},
        "p_adjusted": row["p_adjusted"],
        "reason": row["reason"],
    }


def html(kind: str, content: Row) -> str:
    """A row as an HTML table; empty if the kind is neither ``result`` nor ``audit``."""
    match kind:
        case "result":
            rows = {
                "verdict": f"{formatting.SIGNS[content['verdict']]} {content['verdict']}",
                "effect": f"{content['effect']['name']}: {formatting.effect(content)}",
                "95 % interval": formatting.interval(content),
                "adjusted p": formatting.p(content["p_adjusted"]),
                "random init": formatting.control(content),
                "paper": formatting.paper(content),
                "reason": content["reason"],
            }
        case "audit":
            rows = {name: content[name] for name in _AUDIT}
            rows["outcome"] = f"{formatting.AUDIT_SIGNS[content['outcome']]} {content['outcome']}"
        case _:
            return ""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><bdi>{escape(printable(text))}</bdi></td></tr>'
        for name, text in rows.items()
        if text
    )
    return f'<table class="moe-claims">{body}</table>'
