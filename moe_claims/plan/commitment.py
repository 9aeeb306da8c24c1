"""What a run is bound to by a plan: its claims, texts, models and options, and how a run deviates from them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moe_claims import texts
from moe_claims.errors import MoeClaimsError
from moe_claims.judge.claim import Claim, key_of
from moe_claims.judge.pack import Pack
from moe_claims.models.stored_sizes import dense_fingerprint, fingerprint
from moe_claims.plan.opening import Opened, Reference, Subject
from moe_claims.settings import Settings

PARTS = ("options", "claims", "models", "texts")
"""Of a commitment. Each maps names to what stands for them; ``options`` by the name on the command line."""

Commitment = dict[str, dict[str, Any]]


def commitment(settings: Settings, opened: Opened, packs: Sequence[Pack]) -> Commitment:
    """Everything that a run is bound to, as plain JSON values.

    Args:
        settings: the run's options.
        opened: its models and texts.
        packs: the packs that are judged.
    """
    return {
        "options": {
            "model": [ref.name for ref in settings.models],
            "pack": [pack.id for pack in packs],
            "text": list(settings.texts),
            "tokens": settings.tokens,
            "dtype": settings.dtype,
            "profile": settings.profile,
            "seed": settings.seed,
            "alpha": settings.alpha,
            "layers": None if settings.layers is None else list(settings.layers),
            "dense-reference": settings.dense_reference and settings.dense_reference.name,
            "second-model": settings.second_model and settings.second_model.name,
            "experiments": settings.experiments and str(settings.experiments),
        },
        "claims": {
            key_of(f"{pack.key(claim.id)}", variant) + ("" if evidence == "live" else f" on {evidence}"): _claim(
                claim.of(variant)
            )
            for pack in packs
            for evidence, claim in pack.records()
            for variant in claim.variants
        },
        "models": dict(_models(opened)),
        "texts": dict(_texts(opened)),
    }


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "version": claim.version,
        "statement": claim.statement,
        "effect": claim.effect,
        "smallest_effect": claim.smallest,
        "absent_within": claim.equivalence,
        "rule": claim.rule,
        "null": claim.null,
        "unit": claim.unit,
        "family": claim.family,
    }


def _models(opened: Opened) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, found in opened.models.items():
        yield name, _model(found)
    if opened.dense is not None:
        if isinstance(opened.dense, Reference):
            yield f"dense reference {opened.dense.ref.name}", _hashed(dense_fingerprint(opened.dense.model))
        else:
            yield "dense reference", {"error": str(opened.dense)}
    if opened.second is not None:
        name = f" {opened.second.name}" if isinstance(opened.second, Subject) else ""
        yield f"second model{name}", _model(opened.second)


def _model(found: Subject | MoeClaimsError) -> dict[str, Any]:
    if isinstance(found, MoeClaimsError):
        return {"error": str(found)}
    return {**_hashed(fingerprint(found.model.checkpoint)), "revision_sha": found.model.revision_sha}


def _hashed(found: tuple[str, str]) -> dict[str, Any]:
    return {"hashed": found[0], "sha256": found[1]}


def _texts(opened: Opened) -> Iterator[tuple[str, dict[str, Any]]]:
    for model, found in opened.models.items():
        if isinstance(found, MoeClaimsError):
            continue
        for name, read in found.texts.items():
            yield f"{name} as {model} reads it", _text(read)


def _text(read: texts.Sequences | MoeClaimsError) -> dict[str, Any]:
    if isinstance(read, MoeClaimsError):
        return {"error": str(read)}
    return {
        "text_sha256": read.source_sha256,
        "token_ids_sha256": read.sha256,
        "sequences": len(read.ids),
        "tokens": read.tokens,
    }


def deviations(planned: Mapping[str, Mapping[str, Any]], run: Commitment) -> list[str]:
    """How a run deviates from what was planned, one line each; empty if it does not.

    Args:
        planned: the commitment of the plan.
        run: that of the run.
    """
    lines = []
    for part, kind in zip(PARTS, ("option --moe-", "claim ", "model ", "text "), strict=True):
        ours, theirs = run[part], planned[part]
        for name in dict.fromkeys((*theirs, *ours)):
            said = f"{kind}{name}" if part == "options" else f"{kind}'{name}'"
            if name not in ours:
                lines.append(f"{said}: it is in the plan, and not in this run")
            elif name not in theirs:
                lines.append(f"{said}: it is in this run, and not in the plan")
            elif ours[name] != theirs[name]:
                lines.append(f"{said}: {_difference(theirs[name], ours[name])}")
    return lines


def _difference(planned: Any, run: Any) -> str:
    if isinstance(planned, Mapping) and isinstance(run, Mapping):
        parts = [name for name in dict.fromkeys((*planned, *run)) if planned.get(name) != run.get(name)]
        return "; ".join(f"{name} is {_said(run.get(name))}, planned {_said(planned.get(name))}" for name in parts)
    return f"{_said(run)}, planned {_said(planned)}"


def _said(value: Any) -> str:
    if value is None:
        return "not given"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 70 else f"{text[:67]}…"
