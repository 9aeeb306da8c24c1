"""What the words of the page mean, for a reader who has nothing else."""

VERDICTS = {
    "replicated": "Significant after correction, in the claimed direction, and at least the smallest effect of "
    "interest; of a level, the whole interval reaches it.",
    "direction-only": "Significant after correction and in the claimed direction, but less than the claim says.",
    "contradicted": "Significant after correction in the other direction; of a level, the whole interval lies below.",
    "absent": "Equivalent to no effect: the 90 % interval lies within the bound of equivalence.",
    "inconclusive": "None of these. The reason says what is missing, and what would settle it.",
    "not-applicable": "The claim does not apply to this model; the reason says why.",
}
"""Verdict → its definition. Where a paper itself reports that a claim does not hold for a model, finding just that is
``replicated``, and the reason says so."""

TERMS = {
    "Effect": "The quantity that a claim is about, measured on the model, with its unit; where none is named, it is a "
    "pure number, such as a correlation or a share.",
    "Of interest from": "The smallest effect that counts as what the claim says, fixed before any model was measured; "
    "its sign is the claimed direction.",
    "Bound of equivalence": "The smallest effect of interest, in both directions, unless a claim has a narrower one.",
    "95 % interval": "Where the effect may lie, over the unit that stands below it.",
    "p that decided": "The smaller of two p-values, each corrected over its family of tests: that of the effect as "
    "claimed, and that of the other way. Where a claim asks several tests, the largest of their p-values counts, and "
    "its name stands below. That an effect is absent is decided by its 90 % interval instead. "
    "Headline claims are corrected by Holm, secondary ones by Benjamini–Hochberg.",
    "Null": "What is taken to be chance: what was permuted, resampled or simulated.",
    "Unit": "What chance ranges over, such as experts within a layer or whole sequences.",
    "Random init": "The same architecture freshly initialised. What holds there too (†) is an artefact of the "
    "architecture.",
    "Criteria": "Where the paper prints a value for this very model: four ways to ask whether it was replicated.",
}
"""Term of a column or a line → its definition."""

OUTCOMES = {
    "agrees": "The recomputed number agrees with the printed one, within rounding or reading error.",
    "disagrees": "It does not, by more than rounding or reading error.",
    "lacks-power": "The printed numbers are too few or too coarse to say.",
}
"""Outcome of an audit → its definition."""
