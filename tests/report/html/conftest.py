"""Whole results documents for the page: every claim on several models, with every verdict among them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.packs.look_into_moes.trained.judging import judged_trainings
from moe_claims.report import results
from moe_claims.stats.quantiles import LEVELS
from moe_claims.types import Interval, NullDistribution, Result, Verdict

Document = dict[str, Any]


def null(observed: float) -> NullDistribution:
    """Uniform from −0.1 to 0.1."""
    quantiles = tuple(0.2 * level - 0.1 for level in LEVELS)
    return NullDistribution("labels permuted", None, observed, "upper", LEVELS, quantiles, 999, exact=False)


def live_rows(models: Sequence[str], texts: Sequence[str]) -> list[Document]:
    """A row per claim, variant, model and text; verdicts and effects take turns."""
    verdicts, found = cycle(Verdict), []
    for model in models:
        for claim in LIVE.values():
            for variant in claim.variants:
                for text in texts if claim.needs_of(variant) == "text" else (None,):
                    found.append(_row(claim.id, variant, model, text, next(verdicts), len(found)))
    return found


def _row(claim: str, variant: str | None, model: str, text: str | None, verdict: Verdict, turn: int) -> Document:
    known = LIVE[claim]
    measured = verdict is not Verdict.NOT_APPLICABLE
    effect = 0.01 * (turn % 90) - 0.3 if measured else None
    row = Result(
        pack=PACK.id,
        claim=claim,
        claim_version=known.version,
        variant=variant,
        evidence="live",
        family=known.family,
        model=model,
        corpus=text,
        verdict=verdict,
        reason="p ≤ 0.001 and at least the smallest effect of interest" if measured else "it has one expert alone",
        effect_name=known.effect,
        effect=effect,
        interval=None if effect is None else Interval(effect - 0.05, effect + 0.08, 0.95, "BCa over sequences"),
        smallest=known.smallest,
        p_value=0.0001 if measured else None,
        p_adjusted=0.0013 if measured else None,
        null=known.null,
        null_distribution=None if effect is None else null(effect),
        unit=known.unit,
        n_units=26 if measured else None,
        controls={"random_init": {"verdict": "absent", "effect": 0.004, "reason": "none", "artefact": turn % 7 == 0}}
        if measured
        else {},
        details={"p_labels": 0.0001, "smallest_p": None, "note": "a word"} if measured else {},
    )
    return results.result_row(row)


def card(name: str) -> Document:
    return {
        "name": name, "kind": "directory", "hub_id": None, "revision_sha": None, "family": "mixtral", "moe_layers": 12,
        "total_layers": 12, "experts": 8, "top_k": 2, "hidden": 128, "intermediate": 128, "weights_sha256": "0" * 64,
        "note": None,
    }  # fmt: skip


def corpus(model: str, name: str) -> Document:
    return {
        "name": name, "model": model, "text_sha256": "1" * 64, "token_ids_sha256": "2" * 64, "passages": 26,
        "source": None, "revision_sha": None, "sequences": 26, "tokens": 7174, "tokens_cut": 0,
        "nats_per_token": 4.03,
    }  # fmt: skip


@pytest.fixture(scope="session")
def made() -> Callable[..., Document]:
    """(models, texts, changes) → a results document with audits, public counts and trainings beside the live rows."""

    def make(
        models: Sequence[str] = ("a", "b", "c", "d", "e"), texts: Sequence[str] = ("builtin",), **changes: Any
    ) -> Document:
        others = [results.result_row(row) for row in (*judged_counts(PACK).results, *judged_trainings(PACK).results)]
        parts: Document = {
            "created": "2026-01-01T00:00:00+00:00",
            "environment": {"moe_claims": "0", "python": "3.11", "seed": 0, "tokens": None},
            "packs": [PACK.described()],
            "models": [card(name) for name in models],
            "corpora": [corpus(name, text) for name in models for text in texts],
            "results": [*live_rows(models, texts), *others],
            "audits": [results.audit_row(replace(audit, pack=PACK.id)) for audit in run_audits()],
            "errors": [{"model": "broken", "claim": "", "message": "no such model"}] * 2,
            "order": {},
        }
        return results.document(**(parts | changes))

    return make
