"""``report.md``: the report as Markdown, with reasons, records of the claims, and provenance."""

from collections.abc import Mapping, Sequence
from typing import Any

from moe_claims.judge.claim import Claim
from moe_claims.judge.registry import record
from moe_claims.report import formatting
from moe_claims.report.markdown_text import escape, table

Row = Mapping[str, Any]


def render(document: Row) -> str:
    """The results document as Markdown."""
    parts = ["# Reproducibility report", summary(document), *map(_audits, formatting.audits(document))]
    for group in formatting.grouped(document):
        parts.append(f"## {escape(group.title)}")
        for part in group.parts:
            parts += [f"### {escape(part.title)}" if part.title else "", *_part(part, group.with_text)]
    parts += [errors(document["errors"]), _claims(document), _models(document), _environment(document)]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(document: Row) -> str:
    """The papers and a tally of verdicts for each kind of evidence."""
    lines = [
        *(f"- Audits of {escape(kind.what)}: {_outcomes(kind)}" for kind in formatting.audits(document)),
        *(
            f"- {escape(title)}: {formatting.tally(rows, 'verdict', formatting.SIGNS)}"
            for title, rows in formatting.by_evidence(document)
        ),
    ]
    papers = ", ".join(f"*{escape(pack['title'])}* ({escape(pack['paper'])})" for pack in document["packs"])
    intro = f"Claims of {papers}. A claim that does not replicate is a finding, not a malfunction."
    return intro + "\n\n" + "\n".join(lines)


def _outcomes(audits: formatting.Audits) -> str:
    return formatting.tally(audits.rows, "outcome", formatting.AUDIT_SIGNS)


def _audits(audits: formatting.Audits) -> str:
    rows = [
        [
            f"{formatting.AUDIT_SIGNS[a['outcome']]} {a['outcome']}",
            f"**{escape(a['id'])}**: {escape(a['statement'])} ({escape(a['source'])})",
            escape(a["printed"]),
            escape(a["recomputed"]),
            escape(a["reason"]),
        ]
        for a in audits.rows
    ]
    found = table(["outcome", "audit", "printed", "recomputed", "so"], rows)
    return f"## Audits of {escape(audits.what)}, {audits.how}\n\n{found}"


def _part(part: formatting.Part, with_text: bool) -> list[str]:
    notes = "\n".join(f"- {escape(note)}" for note in formatting.notes(part.rows))
    aside = "\n".join(
        f"- **{escape(claims)}**: {escape(reason)}"
        for reason, claims in formatting.not_applicable_by_reason(part.not_applicable).items()
    )
    return [
        _results(part.rows, with_text) if part.rows else "",
        notes,
        _why(part.rows, with_text),
        f"Not applicable:\n\n{aside}" if aside else "",
    ]


def _results(rows: Sequence[Row], with_text: bool) -> str:
    body = [
        [
            f"{formatting.SIGNS[row['verdict']]} {row['verdict']}",
            escape(formatting.name(row, with_text)),
            f"{formatting.effect(row)} {formatting.interval(row)}",
            formatting.number(row["effect"]["smallest_of_interest"]),
            formatting.p(row["p_value"]),
            formatting.p(row["p_adjusted"]),
            escape(formatting.control(row)),
            escape(formatting.paper(row)),
        ]
        for row in rows
    ]
    headers = [
        "verdict",
        "claim",
        "effect, 95 % interval",
        "smallest of interest",
        "p",
        "adjusted p",
        "random init",
        "paper",
    ]
    keep = [i for i in range(len(headers)) if i < 4 or any(line[i] for line in body)]
    return table([headers[i] for i in keep], [[line[i] for i in keep] for line in body])


def _why(rows: Sequence[Row], with_text: bool) -> str:
    return "\n".join(
        f"- **{escape(formatting.name(row, with_text))}**: {escape(row['reason'].rstrip('.'))}."
        f"{_against(row['published'], row['criteria'], formatting.decimals(row))}{_companions(row)}"
        for row in rows
    )


def _against(published: Row | None, criteria: Row | None, digits: int = 2) -> str:
    """The paper's value and the result of each of the four replication criteria."""
    if not published or not criteria:
        return ""
    value, note = formatting.number(published["value"], digits=digits), escape(published["note"])
    said = f" The paper has {value} ({escape(published['place'])}: {note})"
    if "reason" in criteria:
        return f"{said}: {escape(criteria['reason'])}."
    answers = {True: "yes", False: "no", None: "not applicable, as the paper finds no effect"}
    asked = "; ".join(f"{text}: {answers[criteria[key]]}" for key, text in formatting.CRITERIA.items())
    pooled, origin = criteria["pooled"], escape(criteria["standard_error_origin"])
    return (
        f"{said}: {asked}. Pooled: {formatting.number(criteria['pooled_estimate'], digits=digits)} "
        f"{formatting.ends(pooled['low'], pooled['high'], digits)} (standard error {origin})."
    )


def _companions(row: Row) -> str:
    """Further estimates of a row, each with the paper's value if it prints one."""
    published = row["published"]["companions"] if row["published"] else {}
    criteria = row["criteria"]["companions"] if row["criteria"] else {}
    return "".join(
        f" Beside it, {escape(name)}: {formatting.number(found['value'])} "
        f"{formatting.ends(found['ci_low'], found['ci_high'])}."
        f"{_against(published.get(name), criteria.get(name))}"
        for name, found in row["companions"].items()
    )


def errors(found: Sequence[Row]) -> str:
    """The list of errors, each once; empty if there are none."""
    if not found:
        return ""
    lines = dict.fromkeys(f"- **{escape(e['model'] or e['claim'])}**: {escape(e['message'])}" for e in found)
    return "## Could not be measured\n\n" + "\n".join(lines)


def _claims(document: Row) -> str:
    pairs = dict.fromkeys((row["claim"], row["evidence"]) for row in document["results"])
    several = len(document["packs"]) > 1
    used = [(key if several else found.id, found) for key, kind in pairs if (found := record(key, kind)) is not None]
    rows = [
        [
            f"**{escape(name)}**",
            escape(c.statement),
            escape(c.section),
            escape(_effects(c)),
            escape(c.null),
            escape(c.unit),
        ]
        for name, c in used
    ]
    headers = ["claim", "statement", "section", "effect", "null", "unit"]
    return "## What was tested\n\n" + table(headers, rows) if rows else ""


def _effects(claim: Claim) -> str:
    others = (f"; for {', '.join(variants)}: {other.effect}" for other, variants in claim.others().items())
    return claim.effect + "".join(others)


def _models(document: Row) -> str:
    if not document["models"]:
        return ""
    models = [
        [escape(m["name"]), escape(m["family"]), str(m["moe_layers"]), f"{m['top_k']} of {m['experts']}",
         escape(m["revision_sha"] or "–"), escape((m["weights_sha256"] or "–")[:16])]
        for m in document["models"]
    ]  # fmt: skip
    texts = [
        [escape(c["model"]), escape(c["name"]), str(c["sequences"]), f"{c['tokens']:,}", f"{c['tokens_cut']:,}",
         formatting.number(c["nats_per_token"]), (c["text_sha256"] or c["token_ids_sha256"])[:16]]
        for c in document["corpora"]
    ]  # fmt: skip
    found = table(["model", "family", "MoE layers", "top-k", "revision", "weights SHA-256"], models)
    if texts:
        headers = ["model", "text", "sequences", "tokens", "tokens cut", "nats per token", "text SHA-256"]
        found += "\n\n" + table(headers, texts)
    notes = dict.fromkeys(f"- {escape(m['note'])}" for m in document["models"] if m["note"])
    return "\n\n".join(["## Models and texts", found, *(["\n".join(notes)] if notes else [])])


def _environment(document: Row) -> str:
    said = ", ".join(f"{escape(k)} {escape(v)}" for k, v in document["environment"].items() if v is not None)
    return f"Made {escape(document['created'])} with {said}."
