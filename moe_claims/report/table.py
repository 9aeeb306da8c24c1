"""The reproducibility table for a terminal: pure functions from the results document to text."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from tabulate import tabulate

from moe_claims.printable import printable_throughout
from moe_claims.report import formatting
from moe_claims.report.model_matrix import LEGEND, short, side_by_side

Document = Mapping[str, Any]


def render(document: Document, *, width: int = 120) -> str:
    """The whole report as plain text; control characters are escaped.

    Args:
        document: the results document.
        width: columns of the terminal; long statements are wrapped to fit.
    """
    document = printable_throughout(document)
    sections = [
        *(_audits(audits, width) for audits in formatting.audits(document)),
        *(_group(group, width) for group in formatting.grouped(document)),
        _side_by_side(document["results"], width),
        _errors(document["errors"]),
    ]
    return "\n\n".join(section for section in sections if section)


def _audits(audits: formatting.Audits, width: int) -> str:
    rows = [[formatting.AUDIT_SIGNS[a["outcome"]] + " " + a["outcome"], a["id"], a["reason"]] for a in audits.rows]
    body: str = tabulate(
        rows,
        headers=["outcome", "audit", "what follows"],
        tablefmt="simple",
        maxcolwidths=[None, None, max(40, width - 44)],
        disable_numparse=True,
    )
    return f"Audits: {audits.what}, {audits.how}\n{body}"


def _group(group: formatting.Group, width: int) -> str:
    parts = [_part(part, group.with_text, width) for part in group.parts]
    return "\n".join([_wrapped(group.title, width), "\n\n".join(parts)])


def _part(part: formatting.Part, with_text: bool, width: int) -> str:
    lines = [_wrapped(part.title, width)] if part.title else []
    if part.rows:
        lines.append(_results(part.rows, with_text))
    lines += [_wrapped(note, width) for note in formatting.notes(part.rows)]
    for reason, claims in formatting.not_applicable_by_reason(part.not_applicable).items():
        lines.append(_wrapped(f"{formatting.SIGNS['not-applicable']} not applicable: {claims}: {reason}", width))
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> str:
    return fill(text, max(40, width), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _results(rows: Sequence[Document], with_text: bool) -> str:
    body = [
        [
            formatting.SIGNS[row["verdict"]] + " " + row["verdict"],
            formatting.name(row, with_text),
            formatting.effect(row),
            formatting.interval(row),
            formatting.p(row["p_adjusted"]),
            formatting.control(row),
            formatting.paper(row),
        ]
        for row in rows
    ]
    headers = ["verdict", "claim", "effect", "95 % interval", "adj. p", "random init", "paper"]
    keep = [i for i, header in enumerate(headers) if i < 4 or any(line[i] for line in body)]
    text: str = tabulate(
        [[line[i] for i in keep] for line in body],
        headers=[headers[i] for i in keep],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left", "left", "right", *("left" for _ in keep[3:])],
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def _side_by_side(results: Sequence[Document], width: int) -> str:
    found = side_by_side(results)
    if len(found.models) < 2:
        return ""
    rows = [[claim, *map(short, of_models)] for claim, of_models in found.rows]
    body: str = tabulate(rows, headers=["claim", *found.models], tablefmt="simple", disable_numparse=True)
    return f"All models: verdict and effect\n{body}\n{_wrapped(LEGEND, width)}"


def _errors(errors: Sequence[Document]) -> str:
    if not errors:
        return ""
    lines = dict.fromkeys(f"  {error['model'] or error['claim']}: {error['message']}" for error in errors)
    return "Could not be measured\n" + "\n".join(lines)
