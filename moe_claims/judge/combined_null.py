"""How claims word their sources of chance, and which null counts where several tests must all reject."""

from dataclasses import replace

from moe_claims.types import NullDistribution

LABELS_OF_ONE_SIDE = "expert labels of one side permuted, independently in every layer"
CURVES_WITHOUT_TREND = (
    "AR(1) curves over depth without trend, as smooth as the data allow (φ bias-corrected, its uncertainty kept)"
)
EXPERT_WITHIN_LAYER = "expert within layer"
"""Nulls and units as the records of several claims word them."""

LABELS = "expert labels permuted in every layer"
SIGNS = "signs of whole sequences flipped"
CURVES = "AR(1) curves without trend"
MARKS = "as many experts of each layer, whichever"
"""What is resampled, as null distributions name it."""


def of_largest_p(*tests: tuple[float, NullDistribution]) -> NullDistribution:
    """Of tests that must all reject, the null of the one whose p-value is the largest, and so the claim's.

    Args:
        tests: p-value in the claimed direction and null of each; of equal p-values the first counts.
    """
    _, null = max(tests, key=lambda test: test[0])
    return replace(null, of_tests=sum(each.of_tests for _, each in tests))
