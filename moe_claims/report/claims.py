"""Claims as text, for the command ``claims``: a list of all, and the full record of one."""

import re
from collections.abc import Sequence
from textwrap import fill

from moe_claims.judge.claim import Claim
from moe_claims.judge.pack import Pack

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


def listing(packs: Sequence[Pack], width: int = 120) -> str:
    """Every claim once, by pack and family: statement, section, variants, needs and smallest effect of interest."""
    sections, count = [], 0
    for pack in packs:
        sections.append(fill(f"{pack.id}: {pack.title} ({pack.paper})", width))
        # A claim that is tested on models and on published counts is listed once, with its record for models.
        claims = {claim.id: claim for _, claim in reversed(list(pack.records()))}
        ordered = [claims[name] for name in dict.fromkeys(claim.id for _, claim in pack.records())]
        count += len(ordered)
        for family, title in _FAMILIES.items():
            entries = [_entry(pack, claim, width) for claim in ordered if claim.family == family]
            sections += [title, *entries] if entries else []
    legend = "† is tested on further evidence too. " if any(" † · " in section for section in sections) else ""
    legend += "The whole record of a claim: claims --full ID"
    return "\n\n".join([*sections, fill(f"{count} claims. {legend}", width)])


def _entry(pack: Pack, claim: Claim, width: int) -> str:
    section = f"section {claim.section}" if claim.section[:1].isdigit() else claim.section
    facts = [f"needs {needs(claim)}", _bound(claim)]
    if claim.variants != (None,):
        facts.append(f"tested for {_listed(claim.variants)}")
    elsewhere = claim.id in pack.live and any(claim.id in kind.claims for kind in pack.evidence)
    mark = " †" if elsewhere else ""
    return "\n".join(
        [f"{claim.id}{mark} · {section}", _indented(claim.statement, width), _indented("; ".join(facts), width)]
    )


def _bound(claim: Claim) -> str:
    if claim.rule == "level":
        return f"must reach {claim.smallest:g}"
    others = (f"; {other.smallest:g} for {_listed(variants)}" for other, variants in claim.others().items())
    return f"smallest effect {claim.smallest:g}{''.join(others)}"


def needs(claim: Claim) -> str:
    """The input that a claim needs, with the options that provide it if a run does not have it by default."""
    text = _NEEDS[claim.needs]
    if claim.on_text:
        text += f", and a text for {_listed(claim.on_text)}"
    options = ", ".join(_OPTION.findall(claim.applies))
    return f"{text} ({options})" if options else text


def _listed(variants: Sequence[str | None]) -> str:
    return ", ".join(variant for variant in variants if variant)


def _indented(text: str, width: int) -> str:
    return fill(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def full(pack: Pack, name: str, width: int = 120) -> str:
    """The full record of a claim, one per kind of evidence that it is tested on.

    Args:
        pack: pack of the claim.
        name: id of the claim.
        width: columns that text is wrapped to.
    """
    found = [(evidence, claim) for evidence, claim in pack.records() if claim.id == name]
    return "\n\n".join(_record(pack, claim, evidence, width) for evidence, claim in found)


def _record(pack: Pack, claim: Claim, evidence: str, width: int) -> str:
    rows = {
        "statement": claim.statement,
        "section": claim.section,
        "pack": f"{pack.id}: {pack.title} ({pack.paper})",
        "version": str(claim.version),
        "family": _FAMILIES[claim.family],
        "needs": needs(claim),
        "applies to": claim.applies,
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
        "estimator": claim.code,
    }
    lines = [pack.key(claim.id) + _ON.get(evidence, f" on evidence '{evidence}'")]
    for label, text in rows.items():
        if text:
            head = f"  {label:<12}"
            lines.append(fill(text, width, initial_indent=head, subsequent_indent=" " * 14, break_on_hyphens=False))
    return "\n".join(lines)


_ON = {"live": "", "public": " on published counts", "trained": " on trainings"}
_SAYS = {"absent": "finds no such effect", "opposite": "finds the opposite"}


def _rule(claim: Claim) -> str:
    if claim.rule == "level":
        return f"the whole 95 % interval reaches {claim.smallest:g}, and the test agrees"
    side = "or more" if claim.direction > 0 else "or less"
    return (
        f"differs from 0 after correction, and is {claim.smallest:g} {side}; "
        f"absent if the 90 % interval lies within ±{claim.equivalence:g}"
    )
