"""The parts of the findings page about training: results of the experiments, and of checkpoints of one training."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from moe_claims.report import formatting, trajectory
from moe_claims.report.markdown_text import escape, listed, table

Row = Mapping[str, Any]


def experiments(document: Row) -> list[str]:
    """Parts of the page on the training experiments; an empty list if the document has no such rows."""
    rows = [row for row in document["results"] if row["evidence"] == "trained"]
    if not rows:
        return []
    body = [
        [
            f"{formatting.SIGNS[row['verdict']]} {row['verdict']}",
            escape(formatting.name(row)),
            f"{formatting.effect(row)} {formatting.interval(row)}",
            formatting.p(row["p_adjusted"]),
            escape(row["n_units"] or "–"),
            escape(formatting.paper(row)) or "–",
        ]
        for row in rows
    ]
    notes = [
        f"- **{escape(formatting.name(row))}**: {escape(row['reason'].rstrip('.'))}.{_printed(row)}" for row in rows
    ]
    return [
        "## What training makes of it",
        "Models trained for the question, the seed as the unit ([how](zoo.md#experiments)).",
        table(["verdict", "claim", "effect", "adjusted p", "seeds", "paper"], body),
        "\n".join(notes),
        *_followed(rows),
    ]


_AT = re.compile(r"(.+) step (\d+)")
_APART = "embedded pair differs too in"


def _followed(rows: Sequence[Row]) -> list[str]:
    """Tables of quantities over training steps: a column per step, a line per kind of training."""
    found = []
    for row in rows:
        lines: dict[str, dict[int, float]] = {}
        for key, value in row["details"].items():
            match = _AT.fullmatch(key)
            if match and isinstance(value, float):
                lines.setdefault(match[1], {})[int(match[2])] = value
        if lines:
            steps = sorted({step for values in lines.values() for step in values})
            body = [
                [escape(kind), *(formatting.number(values[step]) if step in values else "" for step in steps)]
                for kind, values in lines.items()
            ]
            apart = row["details"].get(_APART)
            found += [
                f"**{escape(formatting.name(row))}** over training steps "
                "(means over seeds; of embedded models, one each):",
                table(["", *(f"{step:,}" for step in steps)], body),
                f"The two embedded models are no controlled pair: they differ in {escape(apart)} too." if apart else "",
            ]
    return found


def _printed(row: Row) -> str:
    published = row["published"]
    if not published:
        return ""
    value = formatting.number(published["value"], digits=formatting.decimals(row))
    return f" The paper: {value} ({escape(published['place'])}; {escape(published['note'])})."


def checkpoints(along: Mapping[str, Row]) -> list[str]:
    """One part per model on when each claim came true.

    Args:
        along: results of the checkpoints of a training, by model.
    """
    parts = []
    for name, document in along.items():
        found = trajectory.trajectories(document)
        steps = found[0].steps if found else ()
        groups: dict[str, list[str]] = {}
        for one in found:
            groups.setdefault(trajectory.when(one), []).append(one.name)
        lines = [f"- {escape(when)}: {listed(claims)}" for when, claims in groups.items() if when != "never"]
        parts += [
            f"## As {escape(name)} was trained",
            f"Judged after {', '.join(f'{step:,}' for step in steps)} steps. Replicated:",
            "\n".join([*lines, f"- never: {len(groups.get('never', []))} other rows"]),
        ]
    return parts
