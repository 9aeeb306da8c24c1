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
    """By pack, the audits of printed numbers, and those of the published code, where there are any."""
    kinds = []
    for pack, said in packs(document):
        rows = [row for row in document["audits"] if row["pack"] == pack["id"]]
        for kind, what, how in (
            ("printed", "the paper's printed numbers", "recomputed from each other"),
            ("code", "the published code", "on our own measurements"),
        ):
            kinds.append(Audits(f"{what}{said}", how, tuple(row for row in rows if row["kind"] == kind)))
    return [kind for kind in kinds if kind.rows]


def packs(document: Row) -> list[tuple[Row, str]]:
    """The packs of a document, each with what a title ends in to tell it from the others; nothing where it is alone."""
    several = len(document["packs"]) > 1
    return [(pack, f" ({pack['paper']})" if several else "") for pack in document["packs"]]


def by_evidence(document: Row) -> list[tuple[str, list[Row]]]:
    """Title and rows of every evidence of every pack, live measurements last; without those that have none."""
    found = []
    for pack, said in packs(document):
        for evidence, title in (*pack["evidence"].items(), ("live", "Live measurements")):
            rows = [row for row in document["results"] if (row["pack"], row["evidence"]) == (pack["id"], evidence)]
            found.append((f"{title.partition(':')[0]}{said}", rows))
    return [(title, rows) for title, rows in found if rows]


def papers(document: Row) -> str:
    """The papers whose claims were judged: title and place of each."""
    return ", ".join(f"‘{pack['title']}’ ({pack['paper']})" for pack in document["packs"])


def claim(row: Row) -> str:
    """A claim's id within its pack."""
    return str(row["claim"]).rpartition("/")[2]


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
    """Rows of the document under titles: pack by pack further evidence, then a group per live model, by family."""
    groups = []
    for pack, said in packs(document):
        rows = [row for row in document["results"] if row["pack"] == pack["id"]]
        for evidence, title in pack["evidence"].items():
            if members := [row for row in rows if row["evidence"] == evidence]:
                groups.append(Group(f"{title}{said}", _parts_of_evidence(members), with_text=False))
    for pack, said in packs(document):
        live = [row for row in document["results"] if (row["pack"], row["evidence"]) == (pack["id"], "live")]
        for model in dict.fromkeys(row["model"] for row in live):
            members = [row for row in live if row["model"] == model]
            texts = {row["corpus"] for row in members if row["corpus"] is not None}
            families = {title: [row for row in members if row["family"] == name] for name, title in _FAMILIES.items()}
            parts = tuple(_part(title, some) for title, some in families.items() if some)
            groups.append(Group(f"Live: {_described(document, model)}{said}", parts, len(texts) > 1))
    return groups


def _parts_of_evidence(rows: Sequence[Row]) -> tuple[Part, ...]:
    """One part where rows name their models; else one for each body of models and its text."""
    if all(row["evidence"] == "public" for row in rows):
        return (_part("", rows),)
    bodies: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        bodies.setdefault((row["model"], row["corpus"]), []).append(row)
    return tuple(_part(f"{model}, trained on {text}", some) for (model, text), some in bodies.items())


def _part(title: str, rows: Sequence[Row]) -> Part:
    counted = f"{title}: {tally(rows, 'verdict', SIGNS)}" if title else ""
    apply = tuple(row for row in rows if row["verdict"] != "not-applicable")
    return Part(counted, apply, tuple(row for row in rows if row["verdict"] == "not-applicable"))


def set_aside(rows: Sequence[Row]) -> dict[str, str]:
    """Rows that do not apply, by their reason: the claims, with the variants of one together."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        variants = found.setdefault(row["reason"], {}).setdefault(claim(row), [])
        if row["variant"] and row["variant"] not in variants:
            variants.append(row["variant"])
    return {
        reason: ", ".join(name + (f" [{', '.join(variants)}]" if variants else "") for name, variants in claims.items())
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


def name(row: Row, with_text: bool = False, with_pack: bool = False) -> str:
    """Claim, variant, and the pack, model or text where it does not follow from the group."""
    parts = (row["claim"] if with_pack else claim(row)) + (f" [{row['variant']}]" if row["variant"] else "")
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
