"""The claims as text: a list of all, and the whole record of one. Pure functions of the registry."""

import re
from collections.abc import Sequence
from textwrap import fill

from moe_claims.errors import UsageError
from moe_claims.judge.claim import Claim
from moe_claims.judge.registry import CLAIMS, COUNTED, LIVE, PUBLIC_MODELS, TRAINED

_FAMILIES = {
    "headline": "Headline claims, corrected by Holm",
    "secondary": "Secondary claims, corrected by Benjamini and Hochberg",
    "public": "Claims on published counts, corrected by Benjamini and Hochberg",
    "trained": "Claims on trainings of our own, corrected by Holm",
}
_NEEDS = {
    "weights": "weights",
    "text": "a text",
    "texts": "two texts or more",
    "counts": "nothing",
    "trainings": "no model, but results of trainings, which are part of the package",
}
_OPTION = re.compile(r"--moe-[a-z-]+")


def listing(width: int = 120) -> str:
    """Every claim once, by family: statement, section, variants, needs and smallest effect of interest."""
    sections = []
    for family, title in _FAMILIES.items():
        entries = [_entry(claim, width) for claim in CLAIMS.values() if claim.family == family]
        sections += [title, *entries] if entries else []
    legend = "† is tested on published counts of real models too. The whole record of a claim: claims --full ID"
    return "\n\n".join([*sections, fill(f"{len(CLAIMS)} claims. {legend}", width)])


def _entry(claim: Claim, width: int) -> str:
    section = f"section {claim.section}" if claim.section[0].isdigit() else claim.section
    facts = [f"needs {needs(claim)}", _bound(claim)]
    if claim.variants != (None,):
        facts.append(f"tested for {_listed(claim.variants)}")
    mark = " †" if claim.id in COUNTED else ""
    return "\n".join(
        [f"{claim.id}{mark} · {section}", _indented(claim.statement, width), _indented("; ".join(facts), width)]
    )


def _bound(claim: Claim) -> str:
    if claim.rule == "level":
        return f"must reach {claim.smallest:g}"
    others = (f"; {other.smallest:g} for {_listed(variants)}" for other, variants in claim.others().items())
    return f"smallest effect {claim.smallest:g}{''.join(others)}"


def needs(claim: Claim) -> str:
    """What a claim needs, and the options that give what a run does not have by itself."""
    text = _NEEDS[claim.needs]
    if claim.on_text:
        text += f", and a text for {_listed(claim.on_text)}"
    options = ", ".join(_OPTION.findall(claim.applies))
    return f"{text} ({options})" if options else text


def _listed(variants: Sequence[str | None]) -> str:
    return ", ".join(variant for variant in variants if variant)


def _indented(text: str, width: int) -> str:
    return fill(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def full(name: str, width: int = 120) -> str:
    """The whole record of a claim, on a model and, where it is tested on them, on published counts.

    Raises:
        UsageError: no such claim.
    """
    if name not in CLAIMS:
        from difflib import get_close_matches

        close = get_close_matches(name, CLAIMS, n=1)
        hint = f"did you mean {close[0]}?" if close else "'python -m moe_claims claims' lists them"
        raise UsageError(f"there is no claim '{name}': {hint}")
    records = {"": LIVE.get(name, TRAINED.get(name)), " on published counts": COUNTED.get(name)}
    return "\n\n".join(_record(claim, suffix, width) for suffix, claim in records.items() if claim is not None)


def _record(claim: Claim, suffix: str, width: int) -> str:
    rows = {
        "statement": claim.statement,
        "section": claim.section,
        "family": _FAMILIES[claim.family],
        "needs": needs(claim),
        "applies to": ", ".join(PUBLIC_MODELS[claim.id]) if suffix else claim.applies,
        "tested for": _listed(claim.variants),
        "effect": claim.effect,
        "rule": _rule(claim),
        "but": "; ".join(
            f"for {_listed(variants)}: {other.effect}; {_rule(claim.of(variants[0]))}"
            for other, variants in claim.others().items()
        ),
        "null": claim.null,
        "unit": claim.unit,
        "paper": "; ".join(f"{model}: {_SAYS[says]}" for model, says in claim.paper_says.items()),
        "analysis": claim.analysis,
    }
    lines = [claim.id + suffix]
    for label, text in rows.items():
        if text:
            head = f"  {label:<12}"
            lines.append(fill(text, width, initial_indent=head, subsequent_indent=" " * 14, break_on_hyphens=False))
    return "\n".join(lines)


_SAYS = {"absent": "finds no such effect", "opposite": "finds the opposite"}


def _rule(claim: Claim) -> str:
    if claim.rule == "level":
        return f"the whole 95 % interval reaches {claim.smallest:g}, and the test agrees"
    side = "or more" if claim.direction > 0 else "or less"
    return (
        f"differs from 0 after correction, and is {claim.smallest:g} {side}; "
        f"absent if the 90 % interval lies within ±{claim.equivalence:g}"
    )
