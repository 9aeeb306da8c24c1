"""Parts of a results document beside its rows: versions and options, and the order of names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from moe_claims import __version__
from moe_claims.judge.claim import key_of
from moe_claims.judge.pack import Pack
from moe_claims.models.device import device_of
from moe_claims.plan.document import seal
from moe_claims.settings import Settings


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
        "device": device_of(settings.device),
        **{name: options[name] for name in ("dtype", "profile", "seed", "alpha", "tokens")},
        "layers": None if settings.layers is None else ",".join(map(str, settings.layers)),
        "dense_reference": settings.dense_reference and settings.dense_reference.name,
        "second_model": settings.second_model and settings.second_model.name,
        "experiments": settings.experiments and str(settings.experiments),
        **seal(settings),
    }


def order_of(settings: Settings, packs: Sequence[Pack], rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
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
