"""From measurements to verdicts: what a claim is, its test, the correction, the decision."""
