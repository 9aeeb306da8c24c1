"""Texts of table cells, groups of rows and notes that all report formats share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from moe_claims.types import NOT_ASKED_IN_FAMILY

SIGNS = {
    "replicated": "✓",
    "direction-only": "~",
    "contradicted": "✗",
    "absent": "○",
    "inconclusive": "?",
    "not-applicable": "–",
}
"""Sign of each verdict, so that no reader depends on colour."""

AUDIT_SIGNS = {"agrees": "✓", "disagrees": "✗", "lacks-power": "?"}

Row = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Audits:
    """One table of audits."""

    what: str
    """What is audited, such as ``the paper's printed numbers``."""
    how: str
    """How it is audited, such as ``recomputed from each other``."""
    rows: tuple[Row, ...]


def audits(document: Row) -> list[Audits]:
    """The non-empty tables of audits: for each pack, audits of printed numbers and audits of the published code."""
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
    """The packs of a document, each with a suffix for titles that names its paper; empty if there is one pack."""
    several = len(document["packs"]) > 1
    return [(pack, f" ({pack['paper']})" if several else "") for pack in document["packs"]]


def by_evidence(document: Row) -> list[tuple[str, list[Row]]]:
    """(Title, rows) of every kind of evidence that has rows, pack by pack, live measurements last."""
    found = []
    for pack, said in packs(document):
        for evidence, title in (*pack["evidence"].items(), ("live", "Live measurements")):
            rows = [row for row in document["results"] if (row["pack"], row["evidence"]) == (pack["id"], evidence)]
            found.append((f"{title.partition(':')[0]}{said}", rows))
    return [(title, rows) for title, rows in found if rows]


def papers(document: Row) -> str:
    """The papers whose claims were judged: title and reference of each."""
    return ", ".join(f"‘{pack['title']}’ ({pack['paper']})" for pack in document["packs"])


def claim(row: Row) -> str:
    """A claim's id within its pack."""
    return str(row["claim"]).rpartition("/")[2]


@final
@dataclass(frozen=True)
class Part:
    """One table of results."""

    title: str
    """Family of tests or the trained models, and the tally of verdicts; empty if the group has one table."""
    rows: tuple[Row, ...]
    """Rows of claims that apply."""
    not_applicable: tuple[Row, ...]
    """Rows with the verdict ``not-applicable``."""


@final
@dataclass(frozen=True)
class Group:
    """The tables of one model, of published counts, or of trainings."""

    title: str
    parts: tuple[Part, ...]
    with_text: bool
    """Whether rows name their text, because there are several."""


_FAMILIES = {
    "headline": "Headline claims (Holm)",
    "secondary": "Secondary claims (Benjamini–Hochberg)",
}


def grouped(document: Row) -> list[Group]:
    """All rows of a document in groups: further evidence of each pack, then one group per live model."""
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
    """One part for published counts; for trainings, one part per kind of model and text."""
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


def not_applicable_by_reason(rows: Sequence[Row]) -> dict[str, str]:
    """Reason → names of the claims that do not apply for that reason, each with its variants."""
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
    """Name of a row: claim and variant, and pack, model or text if the group does not imply them."""
    parts = (row["claim"] if with_pack else claim(row)) + (f" [{row['variant']}]" if row["variant"] else "")
    if row["evidence"] == "public":
        return f"{parts} · {row['model'].partition('/')[2]}"
    return f"{parts} · {row['corpus']}" if with_text and row["corpus"] else parts


def decimals(row: Row) -> int:
    """Decimals of a row's effect, interval and published value: 2, or 3 if an effect of 0.01 is of interest."""
    return 3 if abs(row["effect"]["smallest_of_interest"]) < 0.02 else 2


def number(value: float | None, apart_from: float | None = None, digits: int = 2) -> str:
    """A number as text with two decimals, or more for numbers near 0 and shares near 1; a dash for None.

    Args:
        value: the number.
        apart_from: another number that the text must not round to, unless the two are equal.
        digits: number of decimals.
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
    """The effect as text; it is not rounded to the smallest effect of interest unless the two are equal."""
    return number(row["effect"]["value"], row["effect"]["smallest_of_interest"], decimals(row))


def interval(row: Row) -> str:
    """The 95 % interval of the effect as text, rounded outwards; a dash if there is none."""
    return ends(row["effect"]["ci_low"], row["effect"]["ci_high"], decimals(row))


def ends(low: float | None, high: float | None, digits: int = 2) -> str:
    """An interval as text, rounded outwards; a dash for None."""
    if low is None or high is None:
        return "–"
    digits = 1 if max(abs(low), abs(high)) >= 100 else digits
    step = 10**digits
    outward = math.floor(low * step + 1e-9) / step, math.ceil(high * step - 1e-9) / step
    return f"[{outward[0]:.{digits}f}, {outward[1]:.{digits}f}]"


def p(value: float | None) -> str:
    """A p-value as text, rounded up."""
    if value is None:
        return ""
    return "≤ 0.001" if value <= 0.001 else f"{math.ceil(value * 1000 - 1e-9) / 1000:.3f}"


ARTEFACT = "†"
"""Mark of a claim that is replicated by the model and by its random-initialisation control."""


def artefact(row: Row) -> bool:
    """Whether a replicated claim is replicated at random initialisation too."""
    return bool(row["controls"].get("random_init", {}).get("artefact"))


def control(row: Row) -> str:
    """Verdict and effect of the random-initialisation control as text, marked if it replicates the claim too."""
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
"""The four replication criteria: key in ``criteria`` of a row → words. A criterion that does not apply is None."""


def criteria_met(criteria: Row | None) -> str:
    """Number of replication criteria met, such as ``3 of 4``; those that do not apply are not counted."""
    if not criteria or "reason" in criteria:
        return ""
    asked = [criteria[key] for key in CRITERIA if criteria[key] is not None]
    return f"{sum(asked)} of {len(asked)}"


def paper(row: Row) -> str:
    """The paper's value for this model and the number of criteria met, such as ``0.63 (3 of 4)``."""
    published = row["published"]
    if not published:
        return ""
    met = criteria_met(row["criteria"])
    return number(published["value"], digits=decimals(row)) + (f" ({met})" if met else "")


def notes(rows: Sequence[Row]) -> list[str]:
    """Explanations of the marks that occur in a table."""
    found = []
    if any(artefact(row) for row in rows):
        found.append(f"{ARTEFACT} replicated at random initialisation too: an artefact of the architecture")
    controls = [row["controls"]["random_init"] for row in rows if "random_init" in row["controls"]]
    for reason in dict.fromkeys(control["reason"] for control in controls if control["verdict"] is None):
        found.append(f"random initialisation was not run: {reason}")
    for left_out in dict.fromkeys(row["details"].get(NOT_ASKED_IN_FAMILY) for row in rows):
        if left_out:
            found.append(
                f"{left_out} more test{'s' if left_out > 1 else ''} of this family were not asked for and count as p = "
                "1, so that no adjusted p is smaller than in the whole run"
            )
    with_paper = {row["evidence"] == "trained" for row in rows if row["published"]}
    if with_paper:
        of = "with models of another size" if True in with_paper else "for this very model"
        found.append(f"paper: its value {of}, and how many of the replication criteria are met")
    return found


def tally(rows: Sequence[Row], key: str, words: Mapping[str, str]) -> str:
    """Counts by word, such as ``5 replicated, 1 absent``, in the order of ``words``."""
    counts = {word: sum(row[key] == word for row in rows) for word in words}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
