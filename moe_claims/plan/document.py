"""The file of a plan: what a run is bound to, beside what it was foreseen to take."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from moe_claims import __version__
from moe_claims._util.strict_json import parse
from moe_claims.errors import UsageError
from moe_claims.judge.pack import Pack
from moe_claims.plan.commitment import PARTS, commitment, deviations
from moe_claims.plan.opening import open_all
from moe_claims.plan.planning import Plan
from moe_claims.settings import Settings

FORMAT = "moe-claims-plan"
VERSION = 1
_PACKAGES = ("torch", "transformers", "numpy", "scipy", "safetensors", "tokenizers")
_LARGEST = 50_000_000
"""Bytes of a file that is read as a plan."""


@final
@dataclass(frozen=True)
class Written:
    """A plan as its file holds it."""

    content: dict[str, Any]
    sha256: str
    """Of the file's bytes."""

    @property
    def created(self) -> str:
        """When it was made, by the clock of the machine that made it: ISO 8601, UTC."""
        return str(self.content["created"])


def text_of(plan: Plan, packs: Sequence[Pack]) -> str:
    """The content of a plan's file, JSON."""
    content = {
        "format": FORMAT,
        "schema_version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"moe_claims": __version__, **{name: version(name) for name in _PACKAGES}},
        **commitment(plan.settings, plan.opened, packs),
        "foreseen": {
            "models": {
                model.name: {
                    "error": model.error,
                    "stages": [stage.as_entry() for stage in model.stages],
                    "claims": [one.as_entry() for one in model.claims],
                }
                for model in plan.models
            },
            "around": [stage.as_entry() for stage in plan.around],
            "whole": plan.whole.as_entry(),
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> Written:
    """Reads a plan from its file.

    Raises:
        UsageError: the file is missing, or holds no plan of this version.
    """
    said = f"--moe-plan-file {path}"
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"{said}: cannot be read ({error.strerror}); --moe-plan together with it writes a plan there"
        ) from None
    if len(raw) > _LARGEST:
        raise UsageError(f"{said}: is too large for a plan; give a file that --moe-plan wrote")
    try:
        content = parse(raw)
    except ValueError as error:
        raise UsageError(f"{said}: is not JSON ({error}); give a file that --moe-plan wrote") from None
    good = isinstance(content, dict) and content.get("format") == FORMAT and isinstance(content.get("created"), str)
    if not good or not all(isinstance(content.get(part), dict) for part in PARTS):
        raise UsageError(f"{said}: is no plan; give a file that --moe-plan wrote")
    if content.get("schema_version") != VERSION:
        raise UsageError(
            f"{said}: is a plan of version {content.get('schema_version')}, and this release reads version {VERSION}"
        )
    return Written(content, hashlib.sha256(raw).hexdigest())


def check(settings: Settings, packs: Sequence[Pack]) -> list[str]:
    """How a run deviates from the plan that it is bound to, one line each. Opens its models and texts.

    Raises:
        UsageError: there is no such plan.
    """
    assert settings.plan_file is not None
    planned = read(settings.plan_file).content
    # As JSON has it: a tuple comes back as a list.
    run = json.loads(json.dumps(commitment(settings, open_all(settings), packs)))
    return deviations(planned, run)


def seal(settings: Settings) -> dict[str, str]:
    """What the report of a bound run says of its plan: hash and date; empty for a run that is bound to none."""
    if settings.plan_file is None or settings.plan:
        return {}
    written = read(settings.plan_file)
    return {"plan_sha256": written.sha256, "plan_created": written.created}
