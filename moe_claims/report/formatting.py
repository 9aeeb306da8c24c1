"""What stands in the cells of every report, whatever its format."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

SIGNS = {
    "replicated": "✓",
    "direction-only": "~",
    "contradicted": "✗",
    "absent": "○",
    "inconclusive": "?",
    "not-applicable": "–",
}
"""A sign beside each verdict word, so that colour is never needed."""

AUDIT_SIGNS = {"agrees": "✓", "disagrees": "✗", "lacks-power": "?"}

Row = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Audits:
    """Rows of one table of audits."""

    what: str
    """What is audited."""
    how: str
    rows: tuple[Row, ...]


def audits(document: Row) -> list[Audits]:
    """The audits of printed numbers, and those of the published code, where there are any."""
    of_code = [row for row in document["audits"] if row["kind"] == "code"]
    printed = [row for row in document["audits"] if row["kind"] == "printed"]
    kinds = (
        Audits("the paper's printed numbers", "recomputed from each other", tuple(printed)),
        Audits("the published code", "on our own measurements", tuple(of_code)),
    )
    return [kind for kind in kinds if kind.rows]


@final
@dataclass(frozen=True)
class Part:
    """Rows of one table."""

    title: str
    """Family of tests, or the models that were trained, and tally of verdicts; empty where the group is one family."""
    rows: tuple[Row, ...]
    """Without those that do not apply."""
    not_applicable: tuple[Row, ...]


@final
@dataclass(frozen=True)
class Group:
    """The rows of one model, of published counts, or of trainings."""

    title: str
    parts: tuple[Part, ...]
    with_text: bool
    """Whether a row must name its text, because there are several."""


_FAMILIES = {
    "headline": "Headline claims (Holm)",
    "secondary": "Secondary claims (Benjamini–Hochberg)",
}


def grouped(document: Row) -> list[Group]:
    """Rows of the document under titles: public counts, trainings, then a group per live model, by family of tests."""
    groups = []
    public = [row for row in document["results"] if row["evidence"] == "public"]
    if public:
        title = "Public measurements: published expert counts of the real models"
        groups.append(Group(title, (_part("", public),), with_text=False))
    trained = [row for row in document["results"] if row["evidence"] == "trained"]
    if trained:
        kinds = dict.fromkeys((row["model"], row["corpus"]) for row in trained)
        parts = tuple(
            _part(f"{model}, trained on {text}", [r for r in trained if (r["model"], r["corpus"]) == (model, text)])
            for model, text in kinds
        )
        title = "Trained for the question: small MoEs, chance judged over seeds (Holm)"
        groups.append(Group(title, parts, with_text=False))
    live = [row for row in document["results"] if row["evidence"] == "live"]
    for model in dict.fromkeys(row["model"] for row in live):
        rows = [row for row in live if row["model"] == model]
        texts = {row["corpus"] for row in rows if row["corpus"] is not None}
        families = {title: [row for row in rows if row["family"] == family] for family, title in _FAMILIES.items()}
        parts = tuple(_part(title, members) for title, members in families.items() if members)
        groups.append(Group(f"Live: {_described(document, model)}", parts, len(texts) > 1))
    return groups


def _part(title: str, rows: Sequence[Row]) -> Part:
    counted = f"{title}: {tally(rows, 'verdict', SIGNS)}" if title else ""
    apply = tuple(row for row in rows if row["verdict"] != "not-applicable")
    return Part(counted, apply, tuple(row for row in rows if row["verdict"] == "not-applicable"))


def set_aside(rows: Sequence[Row]) -> dict[str, str]:
    """Rows that do not apply, by their reason: the claims, with the variants of one together."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        variants = found.setdefault(row["reason"], {}).setdefault(row["claim"], [])
        if row["variant"] and row["variant"] not in variants:
            variants.append(row["variant"])
    return {
        reason: ", ".join(
            claim + (f" [{', '.join(variants)}]" if variants else "") for claim, variants in claims.items()
        )
        for reason, claims in found.items()
    }


def _described(document: Row, model: str) -> str:
    card = next((m for m in document["models"] if m["name"] == model), None)
    if card is None:
        return model
    parts = [f"{model} ({card['family']}, {card['moe_layers']} MoE layers, top {card['top_k']} of {card['experts']}"]
    parts += [
        f"{c['name']}: {c['sequences']} sequences, {c['tokens']:,} tokens, {c['nats_per_token']:.2f} nats per token"
        for c in document["corpora"]
        if c["model"] == model
    ]
    return "; ".join(parts) + ")"


def name(row: Row, with_text: bool = False) -> str:
    """Claim, variant, and the model or text where it does not follow from the group."""
    parts = row["claim"] + (f" [{row['variant']}]" if row["variant"] else "")
    if row["evidence"] == "public":
        return f"{parts} · {row['model'].partition('/')[2]}"
    return f"{parts} · {row['corpus']}" if with_text and row["corpus"] else parts


def decimals(row: Row) -> int:
    """Of a row's effect, interval and published value: two, or three where an effect of 0.01 is of interest."""
    return 3 if abs(row["effect"]["smallest_of_interest"]) < 0.02 else 2


def number(value: float | None, apart_from: float | None = None, digits: int = 2) -> str:
    """A number with two decimals, or as many as a small one or a share of nearly all needs; a dash for none.

    Args:
        value: the number.
        apart_from: another number, which this one is not to look like unless it is.
        digits: decimals, where two are not the right number.
    """
    if value is None:
        return "–"
    if 0 < abs(value) < 10**-digits:
        return f"{value:.1g}"
    digits = 1 if abs(value) >= 100 else digits
    bounds = {apart_from} | ({-1.0, 1.0} if abs(value) < 1 else set())
    while digits < 9 and value not in bounds and float(f"{value:.{digits}f}") in bounds:
        digits += 1
    return f"{value:.{digits}f}"


def effect(row: Row) -> str:
    """The effect, which never looks like the smallest one of interest where it is less or more."""
    return number(row["effect"]["value"], row["effect"]["smallest_of_interest"], decimals(row))


def interval(row: Row) -> str:
    return ends(row["effect"]["ci_low"], row["effect"]["ci_high"], decimals(row))


def ends(low: float | None, high: float | None, digits: int = 2) -> str:
    """An interval, rounded outwards so that it never looks narrower than it is; a dash for none."""
    if low is None or high is None:
        return "–"
    digits = 1 if max(abs(low), abs(high)) >= 100 else digits
    step = 10**digits
    outward = math.floor(low * step + 1e-9) / step, math.ceil(high * step - 1e-9) / step
    return f"[{outward[0]:.{digits}f}, {outward[1]:.{digits}f}]"


def p(value: float | None) -> str:
    """A p-value, rounded up."""
    if value is None:
        return ""
    return "≤ 0.001" if value <= 0.001 else f"{math.ceil(value * 1000 - 1e-9) / 1000:.3f}"


ARTEFACT = "†"
"""Marks a control that replicates as the model does."""


def artefact(row: Row) -> bool:
    """Whether a claim that is replicated is so at random initialisation too."""
    return bool(row["controls"].get("random_init", {}).get("artefact"))


def control(row: Row) -> str:
    """Verdict and effect of the random-initialisation control, marked where it replicates too."""
    found = row["controls"].get("random_init")
    if not found:
        return ""
    if found["verdict"] is None:
        return "not run"
    said = f"{SIGNS[found['verdict']]} {found['verdict']} ({number(found['effect'])})"
    return f"{said} {ARTEFACT}" if artefact(row) else said


CRITERIA = {
    "published_in_our_interval": "published value inside our interval",
    "ours_in_prediction_interval": "ours inside the published value's prediction interval",
    "small_telescope_passed": "small telescopes: large enough for the published study to have found",
    "pooled_differs_from_none": "random-effects pooled estimate differs from no effect",
}
"""The four replication criteria; those that do not apply are None."""


def criteria_met(criteria: Row | None) -> str:
    """Such as '3 of 4'; criteria that do not apply are not counted."""
    if not criteria or "reason" in criteria:
        return ""
    asked = [criteria[key] for key in CRITERIA if criteria[key] is not None]
    return f"{sum(asked)} of {len(asked)}"


def paper(row: Row) -> str:
    """The paper's value for this model, with how many criteria it meets: '0.63 (3 of 4)'."""
    published = row["published"]
    if not published:
        return ""
    met = criteria_met(row["criteria"])
    return number(published["value"], digits=decimals(row)) + (f" ({met})" if met else "")


def notes(rows: Sequence[Row]) -> list[str]:
    """What the marks of a table mean, of those that stand in it."""
    found = []
    if any(artefact(row) for row in rows):
        found.append(f"{ARTEFACT} replicated at random initialisation too: an artefact of the architecture")
    controls = [row["controls"]["random_init"] for row in rows if "random_init" in row["controls"]]
    for reason in dict.fromkeys(control["reason"] for control in controls if control["verdict"] is None):
        found.append(f"random initialisation was not run: {reason}")
    with_paper = {row["evidence"] == "trained" for row in rows if row["published"]}
    if with_paper:
        of = "with models of another size" if True in with_paper else "for this very model"
        found.append(f"paper: its value {of}, and how many of the replication criteria are met")
    return found


def tally(rows: Sequence[Row], key: str, words: Mapping[str, str]) -> str:
    """Such as '5 replicated, 1 absent', in the order of the words."""
    counts = {word: sum(row[key] == word for row in rows) for word in words}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
