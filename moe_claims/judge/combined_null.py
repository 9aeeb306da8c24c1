"""Shared wordings of nulls and units, and the null of a claim whose several tests must all reject."""

from dataclasses import replace

from moe_claims.types import NullDistribution

LABELS_OF_ONE_SIDE = "expert labels of one side permuted, independently in every layer"
CURVES_WITHOUT_TREND = (
    "AR(1) curves over depth without trend, as smooth as the data allow (φ bias-corrected, its uncertainty kept)"
)
EXPERT_WITHIN_LAYER = "expert within layer"
"""Nulls and units in the words of the records of several claims (``Claim.null``, ``Claim.unit``)."""

LABELS = "expert labels permuted in every layer"
SIGNS = "signs of whole sequences flipped"
CURVES = "AR(1) curves without trend"
MARKS = "as many experts of each layer, whichever"
"""What is resampled, in the words of ``NullDistribution``."""


def of_largest_p(*tests: tuple[float, NullDistribution]) -> NullDistribution:
    """The null distribution of the test with the largest p-value, for a claim whose tests must all reject.

    Args:
        tests: (p-value in the claimed direction, null distribution) of each test; the first wins a tie.
    """
    _, null = max(tests, key=lambda test: test[0])
    return replace(null, of_tests=sum(each.of_tests for _, each in tests))
