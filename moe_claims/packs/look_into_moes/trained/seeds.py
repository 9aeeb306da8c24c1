"""Shared parts of claims on trainings: the seed is the unit, and the test is Student's t."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from moe_claims.errors import NotMeasuredError
from moe_claims.stats.cluster_bootstrap import sign_flips
from moe_claims.stats.permutation import Floats
from moe_claims.stats.student import student
from moe_claims.types import Finding, Scalar

FEWEST_SEEDS = 3
"""Fewest seeds: with two, the 95 % interval is ± 13 standard errors, which decides nothing."""

Document = Mapping[str, Any]
"""Results of an experiment, as ``moe_claims.packs.look_into_moes.trained.results.load`` returns them."""


@final
@dataclass(frozen=True)
class PrintedBeside:
    """The paper's value for a row on trainings."""

    published: Mapping[str, Any]
    """The value, as ``as_published`` returns it."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Further numbers for the details of the row."""


def over_seeds(by_seed: Floats, direction: int, details: Mapping[str, Scalar]) -> Finding:
    """The finding on the mean of one effect per seed.

    The exact p of a sign-flip test over seeds is in the details, as a check that assumes only
    symmetry; with n seeds it is at least 2⁻ⁿ.

    Args:
        by_seed: (n,) effect within each seed.
        direction: +1 or −1, the claimed sign.
        details: further numbers for the row.

    Raises:
        NotMeasuredError: fewer than ``FEWEST_SEEDS`` seeds.
    """
    seeds = len(by_seed)
    if seeds < FEWEST_SEEDS:
        raise NotMeasuredError(
            f"chance is judged over seeds, and {seeds} is too few: train at least {FEWEST_SEEDS} (--seeds)"
        )
    test = student(by_seed)
    towards, against = (test.p_greater, test.p_less) if direction > 0 else (test.p_less, test.p_greater)
    flips = sign_flips(by_seed, rng=np.random.default_rng(0))
    return Finding(
        effect=test.estimate,
        interval=test.interval(0.95, "seeds"),
        equivalence=test.interval(0.90, "seeds"),
        p_value=towards,
        p_opposite=against,
        smallest_p=0.0,
        n_units=seeds,
        details={
            "lowest_seed": float(by_seed.min()),
            "highest_seed": float(by_seed.max()),
            "p_sign_flips": flips.p_greater if direction > 0 else flips.p_less,
            **details,
        },
        null_distribution=test.null_distribution("seeds", tail="upper" if direction > 0 else "lower"),
    )
