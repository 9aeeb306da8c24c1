"""The results document of a run: its rows with versions and options, in the order of the report."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from moe_claims import __version__
from moe_claims.judge.claim import key_of
from moe_claims.judge.pack import Pack
from moe_claims.models.device import device_of, kind_of
from moe_claims.plan.document import seal
from moe_claims.report import results
from moe_claims.settings import Settings, settings_from

Row = Mapping[str, Any]


def document_of(
    settings: Settings, packs: Sequence[Pack], parts: Mapping[str, Iterable[Row]], *, command: str | None = None
) -> dict[str, Any]:
    """The results document of a run that ends now.

    Args:
        settings: the run's options.
        packs: packs in the order of the report.
        parts: rows by kind: ``result``, ``audit``, ``error``, ``pack``, ``model`` and ``corpus``; kinds that are
            missing have no rows.
        command: what would make it again, for a run of pytest; None for others.
    """
    rows = list(parts.get("result", ()))
    return results.document(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(settings) | ({} if command is None else {"command": command}),
        packs=parts.get("pack", ()),
        models=parts.get("model", ()),
        corpora=parts.get("corpus", ()),
        results=rows,
        audits=parts.get("audit", ()),
        errors=parts.get("error", ()),
        order=order_of(settings, packs, rows),
    )


def environment(settings: Settings) -> dict[str, Any]:
    """Versions and options that the results depend on."""
    import platform
    from importlib.metadata import version

    packages = ("torch", "transformers", "numpy", "scipy", "safetensors", "tokenizers")
    options = asdict(settings)
    return {
        "moe_claims": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in packages},
        "device": kind_of(device_of(settings.device)),
        **{name: options[name] for name in ("dtype", "profile", "seed", "alpha", "tokens")},
        "layers": None if settings.layers is None else ",".join(map(str, settings.layers)),
        "dense_reference": settings.dense_reference and settings.dense_reference.name,
        "second_model": settings.second_model and settings.second_model.name,
        "experiments": settings.experiments and str(settings.experiments),
        **seal(settings),
    }


def command(settings: Settings) -> str:
    """The pytest command with the options that differ from their defaults, as the user named models, texts and files.

    Which tests were selected is not part of it, nor are folders of the report and of stored measurements.
    """
    default = settings_from({"profile": settings.profile})
    embedded = all(ref.kind == "embedded" for ref in settings.models)
    dense, second = settings.dense_reference, settings.second_model
    options: list[tuple[str, object]] = []
    if settings.models != default.models:
        options += [("--model", ref.name) for ref in settings.models]
    options += [("--moe-pack", name) for name in settings.packs or ()]
    if settings.texts != default.texts:
        options += [("--moe-text", name) for name in settings.texts]
    if settings.profile != "full":
        options.append(("--moe-profile", settings.profile))
    for name in ("tokens", "device", "dtype", "seed", "alpha", "experiments"):
        value = getattr(settings, name)
        if value != getattr(default, name):
            options.append((f"--moe-{name}", value))
    if settings.layers is not None:
        options.append(("--moe-layers", ",".join(map(str, settings.layers))))
    if dense is not None and not (embedded and dense == default.dense_reference):
        options.append(("--moe-dense-reference", dense.name))
    if second is not None:
        options.append(("--moe-second-model", second.name))
    return shlex.join(["pytest", "claims/", *(str(word) for option in options for word in option)])


def order_of(settings: Settings, packs: Sequence[Pack], rows: Iterable[Row]) -> dict[str, int]:
    """Name → rank in the report, for evidence, packs, audits, models, claims, variants and texts.

    Args:
        settings: options with the models and texts in the requested order.
        packs: packs in the order of the report.
        rows: rows of the results. Models that only rows name, such as those of trainings, are in the order of their
            claims.
    """
    # Published evidence comes before live measurements; packs first, and within a pack its audits and claims.
    kinds = [kind for pack in packs for kind in pack.kinds if kind != "live"]
    names = [
        *kinds,
        "live",
        *(pack.id for pack in packs),
        *(pack.key(audit) for pack in packs for audit in pack.audits),
    ]
    names += [ref.name for ref in settings.models]
    elsewhere = [row for row in rows if row["evidence"] != "live"]
    for pack in packs:
        for kind, evidence in pack.kinds.items():
            if kind == "live":
                continue
            for claim in evidence.claims.values():
                cases = evidence.cases(claim, settings)
                names += [case.model for case in cases if case.model is not None]
                key = pack.key(claim.id)
                names += [row["model"] for row in elsewhere if (row["evidence"], row["claim"]) == (kind, key)]
        for _, claim in pack.records():
            key = pack.key(claim.id)
            names += [key, *(key_of(key, variant) for variant in claim.variants if variant)]
    return {name: rank for rank, name in enumerate(dict.fromkeys([*names, *settings.texts]))}
