"""The names for writing a pack: a held list, and light to import, so that a pack's own module is."""

import subprocess
import sys

import pytest

from moe_claims import packs

NAMES = [
    "Audit",
    "AuditOutcome",
    "Case",
    "Claim",
    "Companion",
    "DenseWeights",
    "Estimand",
    "Evidence",
    "Finding",
    "Interval",
    "Judged",
    "MatchingMeasurement",
    "Measured",
    "MoeClaimsError",
    "NotComparableError",
    "NullDistribution",
    "Pack",
    "Printed",
    "Result",
    "RoutedMeasurement",
    "Session",
    "Settings",
    "Verdict",
    "WeightMeasurement",
    "conclude",
    "of_largest_p",
]
"""A name that goes or changes its meaning breaks packs of others: that takes a major version."""


def test_the_public_names_are_those_that_are_held() -> None:
    assert packs.__all__ == NAMES
    assert all(getattr(packs, name) is not None for name in NAMES)


def test_every_public_name_is_told_of() -> None:
    assert packs.__doc__ is not None
    internal = {"MoeClaimsError", "Result", "Verdict"}  # of which a pack needs to know nothing
    assert [name for name in NAMES if f"``{name}``" not in packs.__doc__ and name not in internal] == []


@pytest.mark.parametrize("heavy", ["torch", "transformers", "scipy"])
def test_importing_them_loads_nothing_heavy(heavy: str) -> None:
    code = f"import sys, moe_claims.packs; print({heavy!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
