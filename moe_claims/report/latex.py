r"""The report in LaTeX: a complete document of booktabs tables.

Every table stands between two comment lines, so that it can be copied into a paper; the paper must load the packages
of the document's preamble.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moe_claims.report import formatting
from moe_claims.report.latex_text import escape
from moe_claims.report.model_matrix import LEGEND, short, side_by_side

Row = Mapping[str, Any]

_RULE = "% " + "-" * 100

_HEAD = (
    rf"""% Written by 'python -m moe_claims report RESULTS --format latex'. Compile it as it is, with any engine,
% or copy tables into a paper: each stands between two rules like this one, and needs these packages.
{_RULE}
"""
    + r"""\documentclass[a4paper]{article}
\usepackage[landscape,margin=15mm]{geometry}
\usepackage{array,booktabs,longtable}
\usepackage{amssymb,pifont}
\setlength{\parindent}{0pt}
\setlength{\parskip}{1ex}
\setlength{\LTcapwidth}{0.9\linewidth}
\begin{document}
\small"""
)

_MINUS = re.compile(r"(?<!\w)-(?=\d)")


def render(document: Row) -> str:
    """The results document as LaTeX, in ASCII."""
    parts = [_HEAD, r"\section*{Reproducibility report}", _introduction(document)]
    parts += [_audits(audits) for audits in formatting.audits(document)]
    parts.append(_all_models(document["results"]))
    for group in formatting.grouped(document):
        parts.append(rf"\subsection*{{{escape(group.title)}}}")
        parts += [_part(group, part) for part in group.parts]
    parts += [_errors(document["errors"]), r"\end{document}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(document: Row) -> str:
    made = ", ".join(f"{name} {value}" for name, value in document["environment"].items() if value is not None)
    papers = formatting.papers(document)
    said = f"Claims of {papers}. A claim that does not replicate is a finding, not a malfunction."
    return "\n\n".join([escape(said), escape(f"Made {document['created']} with {made}.")])


def _table(caption: str, columns: Iterable[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    """A ``longtable`` that repeats its headers on each page.

    Args:
        caption: plain text.
        columns: (header, column specification) of each.
        rows: cells in LaTeX.
    """
    headers, specifications = zip(*columns, strict=True)
    head = "\n".join([r"\toprule", _line(map(escape, headers)), r"\midrule"])
    lines = [
        _RULE,
        rf"\begin{{longtable}}{{@{{}}{''.join(specifications)}@{{}}}}",
        rf"\caption{{{escape(caption)}}}\\",
        *(head, r"\endfirsthead", head, r"\endhead", r"\bottomrule", r"\endfoot"),
        *map(_line, rows),
        r"\end{longtable}",
        _RULE,
    ]
    return "\n".join(lines)


def _line(cells_of_row: Iterable[str]) -> str:
    return " & ".join(cells_of_row) + r" \\"


def _wide(share: float) -> str:
    """Specification of a text column with this fraction of the line width."""
    return rf">{{\raggedright\arraybackslash}}p{{{share:.3f}\linewidth}}"


def _numbers(text: str) -> str:
    """A cell of numbers, with hyphens as minus signs."""
    return _MINUS.sub("$-$", escape(text))


def _audits(audits: formatting.Audits) -> str:
    rows = [
        [
            escape(f"{formatting.AUDIT_SIGNS[audit['outcome']]} {audit['outcome']}"),
            escape(f"{audit['id']}: {audit['statement']} ({audit['source']})"),
            *(escape(audit[key]) for key in ("printed", "recomputed", "reason")),
        ]
        for audit in audits.rows
    ]
    columns = [("outcome", "l"), ("audit", _wide(0.27)), ("printed", _wide(0.13)), ("recomputed", _wide(0.13))]
    return _table(f"Audits of {audits.what}, {audits.how}", [*columns, ("so", _wide(0.29))], rows)


def _all_models(results: Sequence[Row]) -> str:
    found = side_by_side(results)
    if len(found.models) < 2:
        return ""
    rows = [[escape(claim), *(_numbers(short(row)) for row in of_models)] for claim, of_models in found.rows]
    share = 0.68 / len(found.models)
    columns = [("claim", _wide(0.22)), *((model, _wide(share)) for model in found.models)]
    return _table(f"All models: verdict and effect. {LEGEND}", columns, rows)


def _part(group: formatting.Group, part: formatting.Part) -> str:
    lines = [_results(part, group)] if part.rows else [escape(part.title)]
    lines += [escape(note) for note in formatting.notes(part.rows)]
    sign = formatting.SIGNS["not-applicable"]
    lines += [
        escape(f"{sign} not applicable: {claims}: {reason}")
        for reason, claims in formatting.not_applicable_by_reason(part.not_applicable).items()
    ]
    return "\n\n".join(line for line in lines if line)


def _results(part: formatting.Part, group: formatting.Group) -> str:
    columns = [
        ("verdict", "l"),
        ("claim", _wide(0.30)),
        ("effect", "r"),
        ("95 % interval", "l"),
        ("adj. p", "l"),
        ("random init", _wide(0.16)),
        ("paper", "l"),
    ]
    body = [
        [
            escape(f"{formatting.SIGNS[row['verdict']]} {row['verdict']}"),
            escape(formatting.name(row, group.with_text)),
            *map(_numbers, (formatting.effect(row), formatting.interval(row), formatting.p(row["p_adjusted"]))),
            *map(_numbers, (formatting.control(row), formatting.paper(row))),
        ]
        for row in part.rows
    ]
    keep = [i for i in range(len(columns)) if i < 4 or any(line[i] for line in body)]
    caption = part.title or group.title
    return _table(caption, [columns[i] for i in keep], [[line[i] for i in keep] for line in body])


def _errors(errors: Sequence[Row]) -> str:
    lines = dict.fromkeys(escape(f"{error['model'] or error['claim']}: {error['message']}") for error in errors)
    return "\n\n".join([r"\subsection*{Could not be measured}", *lines]) if lines else ""
