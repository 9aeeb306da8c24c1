"""Seconds and bytes that it takes to match the neurons of two experts."""

from moe_claims.measure.assignment import SPARSE_FROM

PATIENCE = 600.0
"""Seconds that matching all layers may take where nobody asked for single layers."""


def pair_seconds(neurons: int, width: int) -> float:
    """Seconds that one core takes to match two experts of m neurons of d weights that are unrelated (the longest).

    Fitted to the times in docs/matching.md; other machines are faster or slower by a factor.
    """
    return 3e-4 + 3e-8 * neurons * width + 2.35e-11 * neurons**2 * width + 3.6e-8 * neurons**2


def pair_bytes(neurons: int, width: int) -> int:
    """Bytes that one worker holds at most for two experts of m neurons of d weights each."""
    blocks = 400 * 2**20 if neurons >= SPARSE_FROM else 2**20
    return (4 if neurons >= SPARSE_FROM else 8) * neurons**2 + 24 * neurons * width + blocks


def span(seconds: float) -> str:
    """A length of time in words, as coarse as a forecast is: ``3 hours`` for 10,000 seconds."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
