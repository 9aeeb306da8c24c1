"""Which claims will not apply to a model and why, as their own estimators say before they see a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from moe_claims.errors import MoeClaimsError, NotComparableError
from moe_claims.judge.claim import Claim, key_of
from moe_claims.judge.pack import Pack
from moe_claims.measure.measured import Measured
from moe_claims.plan.unmeasured import NeedsNumbersError

Outcome = Literal["not applicable", "not measured", "decided when measured"]


@final
@dataclass(frozen=True)
class Foreseen:
    """What is known of one test before anything is measured."""

    key: str
    """``pack/claim[variant]``."""
    text: str | None
    """Name of the text, for a claim on behaviour."""
    outcome: Outcome
    reason: str
    """In the words that the run would use; empty where measuring decides."""

    def as_entry(self) -> dict[str, Any]:
        """The test as a plan's file holds it."""
        return {"claim": self.key, "text": self.text, "outcome": self.outcome, "reason": self.reason}


def foreseen(packs: Sequence[Pack], measured: Mapping[str, Measured]) -> list[Foreseen]:
    """Every test on one model: whether it is known already that it gives no verdict on the claim.

    Each estimator is handed measurements that have the model's shape and no numbers, and checks them as it would in a
    run. Where it asks for a number, measuring decides: it may still find that the claim does not apply.

    Args:
        packs: packs of the run.
        measured: what estimators will be handed, by text, as ``unmeasured.measured_of`` makes it.
    """
    found = []
    first = next(iter(measured.items()))
    for pack in packs:
        for claim in pack.claims:
            for variant in claim.variants:
                on_texts = claim.needs_of(variant) == "text"
                for text, given in measured.items() if on_texts else (first,):
                    outcome, reason = _ask(claim, variant, given)
                    key = key_of(pack.key(claim.id), variant)
                    found.append(Foreseen(key, text if on_texts else None, outcome, reason))
    return found


def _ask(claim: Claim, variant: str | None, given: Measured) -> tuple[Outcome, str]:
    try:
        claim.estimator(variant, given, np.random.default_rng(0))
    except NotComparableError as error:
        return "not applicable", str(error)
    except MoeClaimsError as error:
        return "not measured", str(error)
    except (NeedsNumbersError, Exception):  # numbers are needed, if only by what came of it in code of a third party
        return "decided when measured", ""
    return "decided when measured", ""
