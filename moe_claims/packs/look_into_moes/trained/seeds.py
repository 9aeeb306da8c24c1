"""What claims on trainings share: the seed is the unit, and Student's t the test."""

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
"""Of two, the interval of a mean is 13 standard errors long on either side: it would decide nothing."""

Document = Mapping[str, Any]
"""Results of an experiment, as ``moe_claims.packs.look_into_moes.trained.results.load`` returns them."""


@final
@dataclass(frozen=True)
class PrintedBeside:
    """What the paper has beside a row on trainings."""

    published: Mapping[str, Any]
    """As ``as_published`` returns it."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Further numbers that go with it."""


def over_seeds(by_seed: Floats, direction: int, details: Mapping[str, Scalar]) -> Finding:
    """(n,) one effect per seed → the finding on their mean.

    The exact p of flipping signs of whole seeds stands beside that of t, as a check that asks for
    symmetry alone; of n seeds it cannot go below 2⁻ⁿ.

    Args:
        by_seed: the effect within each seed.
        direction: +1 or −1, the claimed sign.
        details: further numbers for the row.

    Raises:
        NotMeasuredError: too few seeds for an interval to say anything.
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
