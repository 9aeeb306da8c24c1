"""All that is known of one row, on a terminal: the claim's record, what decided, controls, paper's value, details."""

from typing import Any

from moe_claims.judge.registry import record
from moe_claims.printable import printable
from moe_claims.report import formatting
from moe_claims.report.model_matrix import Row
from moe_claims.report.screen import SIGN_COLOURS, Screen

_LABELS = 12


def render(row: Row, screen: Screen, *, with_pack: bool = False) -> str:
    """One row in full: a heading, then a paragraph per part that it has.

    Args:
        row: a row of ``results``, printable throughout; the claim's record, which is its pack's, is made so here.
        screen: what it is to be shown on.
        with_pack: whether the claim is named with its pack, because there are several.
    """
    verdict, effect = row["verdict"], row["effect"]
    known = record(row["claim"], row["evidence"])
    claim = (row["claim"] if with_pack else formatting.claim(row)) + (f" [{row['variant']}]" if row["variant"] else "")
    parts = {
        "statement": printable(known.statement) if known else "",
        "section": printable(known.section) if known else "",
        "reason": row["reason"],
        "estimand": effect["name"],
        "effect": _effect(row),
        "null": row["null"],
        "unit": row["unit"] + (f" ({row['n_units']})" if row["n_units"] is not None else ""),
        "p": _p(row),
        "control": _control(row),
        "paper": _paper(row["published"], row["criteria"], formatting.decimals(row)),
        "beside it": _companions(row),
        "details": "; ".join(f"{name}: {_detail(value)}" for name, value in row["details"].items()),
    }
    where = f"{row['model']}" + (f", {row['corpus']}" if row["corpus"] else "")
    lines = [
        screen.listed([(f"{formatting.SIGNS[verdict]} {verdict}", SIGN_COLOURS[verdict]), claim, where], ": "),
        *(_paragraph(label, text, screen) for label, text in parts.items() if text),
    ]
    return "\n".join(lines)


def _paragraph(label: str, text: str, screen: Screen) -> str:
    indent = min(_LABELS, screen.width // 4) + 2
    return screen.paragraph(text, indent=" " * indent, first=f"  {label}".ljust(indent - 1) + " ")


def _effect(row: Row) -> str:
    effect = row["effect"]
    if effect["value"] is None:
        return ""
    interval = "" if effect["ci_low"] is None else f" {formatting.interval(row)} ({effect['ci_method']})"
    bound = formatting.number(effect["smallest_of_interest"])
    return f"{formatting.effect(row)}{interval}; smallest of interest {bound}"


def _p(row: Row) -> str:
    if row["p_value"] is None:
        return ""
    adjusted = "" if row["p_adjusted"] is None else f", {formatting.p(row['p_adjusted'])} after correction"
    return f"{formatting.p(row['p_value'])}{adjusted}"


def _control(row: Row) -> str:
    found = row["controls"].get("random_init")
    return f"random initialisation: {formatting.control(row)}; {found['reason']}" if found else ""


def _paper(published: Row | None, criteria: Row | None, digits: int) -> str:
    """The paper's value and which of the four replication criteria are met."""
    if not published:
        return ""
    said = f"{formatting.number(published['value'], digits=digits)} ({published['place']}: {published['note']})"
    if not criteria:
        return said
    if "reason" in criteria:
        return f"{said}; {criteria['reason']}"
    answers = {True: "yes", False: "no", None: "not applicable"}
    return "; ".join([said, *(f"{words}: {answers[criteria[key]]}" for key, words in formatting.CRITERIA.items())])


def _companions(row: Row) -> str:
    """Further estimates of the row, each with the paper's value if it prints one."""
    published = row["published"]["companions"] if row["published"] else {}
    return "; ".join(
        f"{name}: {formatting.number(found['value'])} {formatting.ends(found['ci_low'], found['ci_high'])}"
        + (f", the paper {formatting.number(published[name]['value'])}" if name in published else "")
        for name, found in row["companions"].items()
    )


def _detail(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
