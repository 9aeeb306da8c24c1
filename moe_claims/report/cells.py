"""What stands in the cells of every report, whatever its format."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

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


def grouped(document: Row) -> list[tuple[str, list[Row]]]:
    """Rows of the document under titles: public counts first, then one group per live model."""
    groups: list[tuple[str, list[Row]]] = []
    public = [row for row in document["results"] if row["evidence"] == "public"]
    if public:
        groups.append(("Public measurements: published expert counts of the real models", public))
    for model in dict.fromkeys(row["model"] for row in document["results"] if row["evidence"] == "live"):
        rows = [row for row in document["results"] if row["evidence"] == "live" and row["model"] == model]
        groups.append((f"Live: {_described(document, model)}", rows))
    return groups


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


def name(row: Row) -> str:
    """Claim, variant, and the model or text where it does not follow from the group."""
    parts = row["claim"] + (f" [{row['variant']}]" if row["variant"] else "")
    if row["evidence"] == "public":
        return f"{parts} · {row['model'].partition('/')[2]}"
    return f"{parts} · {row['corpus']}" if row["corpus"] and row["corpus"] != "builtin" else parts


def number(value: float | None) -> str:
    """A number with two decimals, or as many figures as a small one needs; a dash for none."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 0.01:
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
    return f"{value:.1g}"


def effect(row: Row) -> str:
    return number(row["effect"]["value"])


def interval(row: Row) -> str:
    """The interval, rounded outwards so that it never looks narrower than it is."""
    low, high = row["effect"]["ci_low"], row["effect"]["ci_high"]
    if low is None or high is None:
        return "–"
    step = 10 if max(abs(low), abs(high)) >= 100 else 100
    ends = math.floor(low * step + 1e-9) / step, math.ceil(high * step - 1e-9) / step
    digits = 1 if step == 10 else 2
    return f"[{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"


def p(value: float | None) -> str:
    """A p-value, rounded up."""
    if value is None:
        return ""
    return "≤ 0.001" if value <= 0.001 else f"{math.ceil(value * 1000 - 1e-9) / 1000:.3f}"


def control(row: Row) -> str:
    """Verdict and effect of the random-initialisation control."""
    found = row["controls"].get("random_init")
    if not found:
        return ""
    if found["verdict"] is None:
        return "not run"
    return f"{SIGNS[found['verdict']]} {found['verdict']} ({number(found['effect'])})"


def paper(row: Row) -> str:
    """The paper's value for this model, with how many of the four criteria it meets."""
    published = row["published"]
    if not published:
        return ""
    met = criteria_met(row["criteria"])
    return f"{number(published['value'])} ({published['place']})" + (f", {met}" if met else "")


CRITERIA = {
    "published_in_our_interval": "published value inside our interval",
    "ours_in_prediction_interval": "ours inside the published value's prediction interval",
    "small_telescope_passed": "small telescopes: large enough for the published study to have found",
}


def criteria_met(criteria: Row | None) -> str:
    """Such as '2 of 3 criteria'; the pooled estimate is a number, not a yes or no."""
    if not criteria or "reason" in criteria:
        return ""
    return f"{sum(bool(criteria[key]) for key in CRITERIA)} of {len(CRITERIA)} criteria"


def tally(rows: Sequence[Row], key: str, words: Mapping[str, str]) -> str:
    """Such as '5 replicated, 1 absent', in the order of the words."""
    counts = {word: sum(row[key] == word for row in rows) for word in words}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
