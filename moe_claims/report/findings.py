"""The page of findings on the embedded models, in plain words: a pure function of results files.

Sentences are composed from verdicts, effects and intervals, and say no more than these: 'inconclusive' is never 'no',
and a claim that also holds at random initialisation does not count as learned.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from moe_claims.errors import UsageError
from moe_claims.judge.registry import record
from moe_claims.report import findings_trained, formatting
from moe_claims.report.markdown_text import escape, listed, table

Row = Mapping[str, Any]

_WORDS = {
    "replicated": "holds",
    "direction-only": "points the claimed way, but is smaller than claimed",
    "contradicted": "is the other way round",
    "absent": "is absent (equivalent to no effect)",
    "inconclusive": "is not settled either way",
}
_FAMILIES = {"headline": "Headline claims", "secondary": "Secondary claims"}
_NOT_MEASURED = "not measured"


def render(document: Row, trainings: Mapping[str, str], along: Mapping[str, Row]) -> str:
    """The findings as Markdown.

    Args:
        document: results of a run on embedded models and one text.
        trainings: short description of the training, by model.
        along: results of the checkpoints of a training, by model.

    Raises:
        UsageError: the run had other models or several texts, which this page does not cover.
    """
    live = [row for row in document["results"] if row["evidence"] == "live"]
    names = [str(card["name"]) for card in document["models"]]
    _check(document, live)
    packs = len(document["packs"]) > 1
    parts = [
        "# Findings on the embedded models",
        _reading(document),
        "## The models",
        _models(document, trainings),
        "## In short",
        _short(live, names, packs),
    ]
    for family, title in _FAMILIES.items():
        members = [row for row in live if row["family"] == family]
        if members:
            parts += [f"## {title}", _table(members, names, packs), _sentences(members, names, packs)]
    parts += findings_trained.experiments(document)
    parts += findings_trained.checkpoints(along)
    parts += _of_code(document)
    parts += _errors(document)
    parts += ["## What this does not say", _limits(document, names)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _check(document: Row, live: Sequence[Row]) -> None:
    others = [card["name"] for card in document["models"] if card["kind"] != "embedded"]
    if others:
        raise UsageError(
            f"findings are about the embedded models, and these results are about '{others[0]}' too: run 'pytest "
            "claims/' without --model, or read its report.md"
        )
    texts = sorted({row["corpus"] for row in live if row["corpus"] is not None})
    if len(texts) > 1:
        raise UsageError(
            f"findings are about one text, and these results are about {len(texts)} ({', '.join(texts)}): run 'pytest "
            "claims/' with one --moe-text"
        )


def _reading(document: Row) -> str:
    environment = document["environment"]
    papers = ", ".join(f"*{escape(pack['title'])}* ({escape(pack['paper'])})" for pack in document["packs"])
    return (
        "This page is written by `python -m moe_claims findings` from results files. It says which claims of "
        f"{papers} hold on the [small "
        "models](zoo.md) that come with this package, by how they were trained. ✓ replicated, ~ right direction but "
        "less than claimed, ✗ contradicted, ○ absent, ? inconclusive, – not applicable; † replicated at random "
        "initialisation too: an artefact of the architecture. Effects have 95 % intervals.\n\n"
        f"Made with moe_claims {escape(environment['moe_claims'])}, torch {escape(environment['torch'])}, "
        f"transformers {escape(environment['transformers'])}, seed {escape(environment['seed'])}, "
        f"dense reference {escape(environment['dense_reference'] or 'none')}."
    )


def _models(document: Row, trainings: Mapping[str, str]) -> str:
    nats = {card["model"]: card for card in document["corpora"]}
    rows = []
    for card in document["models"]:
        text = nats.get(card["name"])
        rows.append(
            [
                escape(card["name"]),
                escape(card["family"]),
                escape(f"{card['moe_layers']} MoE layers, top {card['top_k']} of {card['experts']}"),
                escape(trainings.get(card["name"], "–")),
                "–" if text is None else f"{formatting.number(text['nats_per_token'])} on {escape(text['name'])}",
                escape((card["weights_sha256"] or "–")[:16]),
            ]
        )
    return table(["model", "family", "shape", "training", "nats per token", "weights SHA-256"], rows)


def _short(live: Sequence[Row], names: Sequence[str], packs: bool) -> str:
    """Tallies by model, and the claims that hold everywhere, on some models, and at random initialisation."""
    lines = []
    for name in names:
        rows = [row for row in live if row["model"] == name]
        artefacts = sum(formatting.artefact(row) for row in rows)
        of_these = f", {artefacts} of the replicated also at random initialisation" if artefacts else ""
        lines.append(f"- **{escape(name)}**: {formatting.tally(rows, 'verdict', formatting.SIGNS)}{of_these}")
    held = [row for row in live if row["verdict"] == "replicated"]
    learned = {claim: [r["model"] for r in rows] for claim, rows in _by_claim(filter(_learned, held), packs).items()}
    everywhere = [claim for claim, models in learned.items() if len(models) == len(names)]
    some = [f"{claim} ({', '.join(models)})" for claim, models in learned.items() if len(models) < len(names)]
    already = [formatting.name(row, with_pack=packs) for row in live if formatting.artefact(row)]
    untested = [
        formatting.name(row, with_pack=packs) for row in held if not formatting.artefact(row) and not _learned(row)
    ]
    lines += [
        f"- Replicated on every model, and not at random initialisation: {listed(everywhere)}",
        f"- Replicated on some, and not at random initialisation there: {listed(some)}",
        f"- Replicated already at random initialisation, on one model at least: {listed(list(dict.fromkeys(already)))}",
    ]
    if untested:
        lines.append(f"- Replicated, but without that control: {listed(list(dict.fromkeys(untested)))}")
    return "\n".join(lines)


def _learned(row: Row) -> bool:
    """Whether the random-initialisation control was run and does not replicate the claim of the row."""
    control = row["controls"].get("random_init")
    return bool(control) and control["verdict"] is not None and not formatting.artefact(row)


def _by_claim(rows: "Sequence[Row] | filter[Row]", packs: bool) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(formatting.name(row, with_pack=packs), []).append(row)
    return found


def _table(rows: Sequence[Row], names: Sequence[str], packs: bool) -> str:
    body = []
    for claim, members in _by_claim(rows, packs).items():
        by_model = {row["model"]: row for row in members}
        body.append([escape(claim), *(_cell(by_model.get(name)) for name in names)])
    return table(["claim", *(escape(name) for name in names)], body)


def _cell(row: Row | None) -> str:
    if row is None:
        return _NOT_MEASURED
    if row["verdict"] == "not-applicable":
        return formatting.SIGNS[row["verdict"]]
    mark = f" {formatting.ARTEFACT}" if formatting.artefact(row) else ""
    return f"{formatting.SIGNS[row['verdict']]} {formatting.effect(row)} {formatting.interval(row)}{mark}"


def _sentences(rows: Sequence[Row], names: Sequence[str], packs: bool) -> str:
    """One list item per claim: its statement, and its verdicts by model."""
    lines = []
    by_id: dict[str, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row["claim"], []).append(row)
    for claim, members in by_id.items():
        known = record(claim, "live")
        said = escape(known.statement.rstrip(".")) if known else ""
        parts = [f"- **{escape(claim if packs else formatting.claim(members[0]))}** ({said})."]
        for variant in dict.fromkeys(row["variant"] for row in members):
            parts.append(_said([row for row in members if row["variant"] == variant], names, variant))
        lines.append(" ".join(parts))
    return "\n".join(lines)


def _said(rows: Sequence[Row], names: Sequence[str], variant: str | None) -> str:
    groups: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: names.index(row["model"])):
        if row["verdict"] != "not-applicable":
            already = " (at random initialisation too)" if formatting.artefact(row) else ""
            groups.setdefault(row["verdict"], []).append(f"{row['model']}{already}")
    if not groups:
        return f"{_of(variant)}applies to none of the models."
    told = [f"{_WORDS[verdict]} on {escape(', '.join(groups[verdict]))}" for verdict in _WORDS if verdict in groups]
    return f"{_of(variant)}{'; '.join(told)}."


def _of(variant: str | None) -> str:
    return f"{escape(variant)}: " if variant else "It "


def _of_code(document: Row) -> list[str]:
    found = [audit for audit in document["audits"] if audit["kind"] == "code"]
    lines = [f"{escape(audit['statement'])} {escape(audit['reason'])}" for audit in found]
    return ["## What the published code does", *lines] if lines else []


def _errors(document: Row) -> list[str]:
    lines = dict.fromkeys(
        f"- **{escape(error['model'] or error['claim'])}**: {escape(error['message'])}" for error in document["errors"]
    )
    return ["## Could not be measured", "\n".join(lines)] if lines else []


def _limits(document: Row, names: Sequence[str]) -> str:
    sequences = ", ".join(dict.fromkeys(f"{card['sequences']} sequences" for card in document["corpora"]))
    return (
        f"- One training stands behind each of the {len(names)} models: a difference between two of them may be one of "
        "seeds and not of training schemes, except where the rows above have seeds as their unit.\n"
        "- The models are [small and young](zoo.md). What is absent here may come with size, what is found may go.\n"
        f"- Intervals speak of other text of the same kind ({escape(sequences)}) or of the arrangement of experts, as "
        "each claim says, not of other trainings.\n"
        "- Inconclusive rows are no evidence against a claim. [Power](power.md) says which effects could have been "
        "found."
    )
