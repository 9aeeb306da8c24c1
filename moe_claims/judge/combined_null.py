"""What the claims call their sources of chance, and which null counts where several tests must all reject."""

from dataclasses import replace

from moe_claims.types import NullDistribution

LABELS = "expert labels permuted in every layer"
SIGNS = "signs of whole sequences flipped"
CURVES = "AR(1) curves without trend"
MARKS = "as many experts of each layer, whichever"


def of_largest_p(*tests: tuple[float, NullDistribution]) -> NullDistribution:
    """Of tests that must all reject, the null of the one whose p-value is the largest, and so the claim's.

    Args:
        tests: p-value in the claimed direction and null of each; of equal p-values the first counts.
    """
    _, null = max(tests, key=lambda test: test[0])
    return replace(null, of_tests=sum(each.of_tests for _, each in tests))
