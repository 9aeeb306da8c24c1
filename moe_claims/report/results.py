"""The results file ``results.json``: a versioned JSON document whose JSON Schema is part of this package."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from moe_claims.errors import UsageError
from moe_claims.types import Audit, Companion, NullDistribution, Result

# 1: first version.
# 2: companions of a row; a published value says what stands for no effect and whether the claim is said to hold.
# 3: evidence from trainings made for the question.
# 4: null distribution of a row.
# 5: packs: a row's claim is ``pack/claim`` and has a version, a row and an audit have a pack, and the document lists
#    the packs.
SCHEMA_VERSION = 5
_READ = (3, 4)
"""Older versions that can be read."""
_FIRST_PACK = {
    "id": "look_into_moes",
    "title": "A Closer Look into Mixture-of-Experts in Large Language Models",
    "paper": "arXiv 2406.18219",
    "evidence": {
        "public": "Public measurements: published expert counts of the real models",
        "trained": "Trained for the question: small MoEs, chance judged over seeds (Holm)",
    },
}
"""The pack that all results before version 5 belong to."""

Row = Mapping[str, Any]


def result_row(result: Result) -> dict[str, Any]:
    """A result as a row of ``results``."""
    interval = result.interval
    return {
        "pack": result.pack,
        "claim": f"{result.pack}/{result.claim}",
        "claim_version": result.claim_version,
        "variant": result.variant,
        "evidence": result.evidence,
        "family": result.family,
        "model": result.model,
        "corpus": result.corpus,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "effect": {
            "name": result.effect_name,
            "value": result.effect,
            "smallest_of_interest": result.smallest,
            "ci_low": None if interval is None else interval.low,
            "ci_high": None if interval is None else interval.high,
            "ci_method": None if interval is None else interval.method,
            "level": None if interval is None else interval.level,
        },
        "p_value": result.p_value,
        "p_adjusted": result.p_adjusted,
        "null": result.null,
        "unit": result.unit,
        "n_units": result.n_units,
        "published": result.published,
        "criteria": result.criteria,
        "controls": dict(result.controls),
        "details": dict(result.details),
        "companions": {name: _companion(found) for name, found in result.companions.items()},
        "null_distribution": _null_distribution(result.null_distribution, result.effect_name),
    }


def _companion(found: Companion) -> dict[str, Any]:
    interval = found.interval
    return {
        "value": found.value,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "ci_method": interval.method,
        "level": interval.level,
    }


def _null_distribution(found: NullDistribution | None, effect_name: str) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "method": found.method,
        "statistic": effect_name if found.statistic is None else found.statistic,
        "is_effect": found.statistic is None,
        "observed": found.observed,
        "tail": found.tail,
        "levels": list(found.levels),
        "quantiles": list(found.quantiles),
        "draws": found.draws,
        "exact": found.exact,
        "of_tests": found.of_tests,
    }


def audit_row(audit: Audit) -> dict[str, Any]:
    """An audit as a row of ``audits``."""
    return {**asdict(audit), "outcome": audit.outcome.value, "values": dict(audit.values)}


def document(
    *,
    created: str,
    environment: Row,
    packs: Iterable[Row],
    models: Iterable[Row],
    corpora: Iterable[Row],
    results: Iterable[Row],
    audits: Iterable[Row],
    errors: Iterable[Row],
    order: Mapping[str, int],
) -> dict[str, Any]:
    """The results document, sorted in an order that does not depend on how the tests were run.

    Args:
        created: time stamp, ISO 8601.
        environment: versions and options.
        packs: entries as ``Pack.described`` returns them.
        models: cards of the models.
        corpora: cards of the texts, one per model and text.
        results: rows as ``result_row`` makes them.
        audits: rows as ``audit_row`` makes them.
        errors: ``{"model", "claim", "message"}`` of each test that failed with an error.
        order: rank of every claim, audit and model in the report.
    """

    def rank(row: Row, *names: str) -> tuple[tuple[int, str], ...]:
        # A variant's rank is within its claim, an audit's within its pack.
        inside = {"variant": f"{row.get('claim')}[{row.get('variant')}]", "id": f"{row.get('pack')}/{row.get('id')}"}
        keys = [inside[n] if n in inside and "pack" in row else str(row.get(n)) for n in names]
        return tuple((order.get(key, len(order)), str(row.get(n) or "")) for n, key in zip(names, keys, strict=True))

    return {
        "schema_version": SCHEMA_VERSION,
        "created": created,
        "environment": dict(environment),
        "packs": sorted(({**p} for p in packs), key=lambda p: rank(p, "id")),
        "models": sorted(({**m} for m in models), key=lambda m: rank(m, "name")),
        "corpora": sorted(({**c} for c in corpora), key=lambda c: rank(c, "model", "name")),
        "results": sorted(
            ({**r} for r in results), key=lambda r: rank(r, "evidence", "pack", "model", "claim", "variant", "corpus")
        ),
        "audits": sorted(({**a} for a in audits), key=lambda a: rank(a, "pack", "id")),
        "errors": sorted(({**e} for e in errors), key=lambda e: rank(e, "model", "claim")),
    }


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Writes the document atomically.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    write_text(path, as_text(results))


def as_text(results: Mapping[str, Any]) -> str:
    """The document as JSON text.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    return json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically, with the line ends of the text, and creates its folder.

    Lone surrogates, which stand for bytes of file names that are not UTF-8, are written as JSON escapes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read(path: Path) -> dict[str, Any]:
    """Reads a results file; a document of an older version in ``_READ`` is converted to the current version.

    Raises:
        UsageError: the file is missing, is not JSON, or has an unknown version.
    """
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no results file '{path}': 'pytest claims/' writes claims-report/results.json"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is not a results file: {error}") from None
    found = loaded.get("schema_version") if isinstance(loaded, dict) else None
    if found in _READ and not isinstance(found, bool):
        try:
            return _brought_up(loaded)
        except (TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"'{path}' says that it has schema version {found} and has not its parts ({type(error).__name__}: "
                f"{error}): give a file as 'pytest claims/' wrote it"
            ) from None
    if found != SCHEMA_VERSION:
        known = ", ".join(map(str, (*_READ, SCHEMA_VERSION)))
        raise UsageError(f"'{path}' has schema version {found}; this package reads versions {known}")
    return loaded


def _brought_up(old: Row) -> dict[str, Any]:
    """A document of version 3 or 4 converted to the current version: all rows belong to the first pack."""
    pack = _FIRST_PACK["id"]
    if not all(isinstance(row["claim"], str) for row in (*old["results"], *old["errors"])):
        raise TypeError("a claim without a name")
    return {
        **old,
        "schema_version": SCHEMA_VERSION,
        "packs": [_FIRST_PACK],
        "results": [
            {"null_distribution": None, **row, "pack": pack, "claim": f"{pack}/{row['claim']}", "claim_version": 1}
            for row in old["results"]
        ],
        "audits": [{**row, "pack": pack} for row in old["audits"]],
        "errors": [{**row, "claim": row["claim"] and f"{pack}/{row['claim']}"} for row in old["errors"]],
    }


def check(document: Any, who: str) -> None:
    """Checks a document against the schema, and that it lists the packs and evidence of its rows.

    Messages do not repeat its contents, which may be confidential.

    Args:
        document: parsed JSON.
        who: name of the document, for the message.

    Raises:
        UsageError: it breaks the schema, or holds NaN; the message names the field.
    """
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    wrong = best_match(Draft202012Validator(schema()).iter_errors(document))
    if wrong is not None:
        raise UsageError(
            f"'{who}' is no results file that this package reads: {_field(wrong.absolute_path)} {_rule(wrong)}"
        )
    unlisted = _unlisted(document)
    if unlisted is not None:
        raise UsageError(f"'{who}' is no results file that this package reads: {unlisted}")
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        raise UsageError(f"'{who}' holds NaN or infinity, which stand for no number: write null") from None


def _unlisted(document: Row) -> str | None:
    """The first row or audit whose pack or evidence the document does not list, so that no report would show it."""
    evidence = {pack["id"]: ("live", *pack["evidence"]) for pack in document["packs"]}
    if len(evidence) < len(document["packs"]):
        return "packs lists one twice"
    for part in ("results", "audits"):
        for place, row in enumerate(document[part]):
            if row["pack"] not in evidence:
                return f"{part}[{place}].pack is not one of packs"
            if row.get("evidence", "live") not in evidence[row["pack"]]:
                return f"{part}[{place}].evidence is not live and not one of its pack's"
    for number, row in enumerate(document["results"]):
        if row["claim"].rpartition("/")[0] != row["pack"]:
            return f"results[{number}].claim is not of its pack"
    return None


def _field(path: Iterable[str | int]) -> str:
    """Path of a field as text, such as ``results[3].effect``."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return parts.removeprefix(".") or "the whole"


def _rule(wrong: Any) -> str:
    """The rule of the schema that a field breaks, as text."""
    wanted = wrong.validator_value
    if wrong.validator == "required":
        return f"lacks {', '.join(name for name in wanted if name not in wrong.instance)}"
    if wrong.validator == "additionalProperties":
        return "has a part that the schema does not know"
    if wrong.validator in ("type", "enum", "const"):
        return f"is not {' or '.join(map(str, wanted)) if isinstance(wanted, list) else wanted}"
    return f"breaks the rule '{wrong.validator}'"


def schema() -> dict[str, Any]:
    """The JSON Schema of the results file."""
    loaded: dict[str, Any] = json.loads(
        (files("moe_claims.report") / "results.schema.json").read_text(encoding="utf-8")
    )
    return loaded
