"""The cases of a test of the suite: one per variant, model and text of its claim, or per audit; each with its name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from moe_claims.settings import Settings

MARKERS = {
    "moe_claim": "moe_claim(id): tests a claim on every model and text of the run",
    "moe_public": "moe_public(id): tests a claim on published counts",
    "moe_trained": "moe_trained(id): tests a claim on trainings made for the question",
    "moe_audit": "moe_audit: recomputes what the paper prints, or shows what its code does",
}
"""Marks of tests that the plugin knows, as pytest lists them."""

Case = tuple[str, Any]
"""Name, and what the fixtures take."""


def of(marker: "pytest.Mark", settings: Callable[[], "Settings"]) -> list[Case]:
    """The cases of a test that bears one of the marks.

    Args:
        marker: one of ``MARKERS``.
        settings: gives the run's options; asked only where models and texts matter.
    """
    match marker.name:
        case "moe_claim":
            return _live(marker.args[0], settings())
        case "moe_public":
            return _public(marker.args[0])
        case "moe_trained":
            return _trained(marker.args[0])
        case _:
            return _audits()


def _live(claim_id: str, settings: "Settings") -> list[Case]:
    from moe_claims.judge.registry import LIVE

    claim = LIVE[claim_id]
    return [
        (_joined(ref.name, text, variant), (claim_id, variant, ref, text))
        for ref in settings.models
        for variant in claim.variants
        for text in (settings.texts if claim.needs_of(variant) == "text" else (None,))
    ]


def _public(claim_id: str) -> list[Case]:
    from moe_claims.judge.registry import COUNTED, PUBLIC_MODELS

    return [
        (_joined(model.partition("/")[2], variant), (claim_id, variant, model))
        for model in PUBLIC_MODELS[claim_id]
        for variant in COUNTED[claim_id].variants
    ]


def _trained(claim_id: str) -> list[Case]:
    from moe_claims.judge.registry import TRAINED

    return [(variant, (claim_id, variant)) for variant in TRAINED[claim_id].variants if variant]


def _audits() -> list[Case]:
    from moe_claims.packs.look_into_moes.audits import AUDITS
    from moe_claims.packs.look_into_moes.audits.published_code import DEMONSTRATIONS

    return [(audit, audit) for audit in (*AUDITS, *DEMONSTRATIONS)]


def _joined(*parts: str | None) -> str:
    return "-".join(part for part in parts if part)
