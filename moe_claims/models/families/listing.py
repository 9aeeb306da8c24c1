"""Renders ``docs/families.md``: which MoE families of transformers are supported, how far, and why not further."""

from moe_claims.models.families.table import FAMILIES, Family
from moe_claims.models.families.unsupported import LEFT_OUT, PARTS

MADE_WITH = "5.24"
"""The transformers whose families are all named here or left out by name; a newer one may have more."""


def render() -> str:
    """The page ``docs/families.md`` in Markdown."""
    run = sum(not row.weights_only for row in FAMILIES.values())
    weights, parts = len(FAMILIES) - run, len(PARTS)
    alone = len(LEFT_OUT) - parts
    notes = {name: _note(row) for name, row in FAMILIES.items()} | {
        name: ("none", reason) for name, reason in LEFT_OUT.items()
    }
    rows = "\n".join(f"| `{name}` | {claims} | {note} |" for name, (claims, note) in sorted(notes.items()))
    return f"""# Families

`python -m moe_claims models --families` prints this page: every mixture-of-experts family (`model_type`) of
transformers {MADE_WITH}, and which claims apply to it. {run} families are read and run layer by layer; of {weights} the
weights alone are read, {alone} are not read, and {parts} are only parts of others. An older transformers knows fewer,
a newer one may know more.

| family | claims | |
|---|---|---|
{rows}
"""


def _note(row: Family) -> tuple[str, str]:
    notes = [f"it cannot be run: {row.weights_only}"] if row.weights_only else []
    if row.text:
        notes.append("its decoder of text; parts for images and sound are not read")
    if row.note:
        notes.append(row.note)
    if row.alone and not row.weights_only:
        notes.append("sequences are run one by one")
    return "on weights" if row.weights_only else "all", "; ".join(notes)
