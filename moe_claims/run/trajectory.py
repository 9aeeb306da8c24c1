"""Judges several checkpoints of one training, to see when each claim becomes true."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_claims._util.progress import track
from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.models.embedded import revisions_of
from moe_claims.models.names import ModelRef, resolve
from moe_claims.report.trajectory import step_of
from moe_claims.settings import Settings


def chosen(revisions: Sequence[str], points: int) -> list[str]:
    """Selects revisions evenly over the logarithm of the step, including the first and the last.

    Args:
        revisions: names of revisions, each of another step.
        points: largest number of revisions, 2 or more.

    Returns:
        The selected revisions in order of steps.
    """
    by_step = {step: name for name in revisions if (step := step_of(name)) is not None}
    steps = sorted(by_step)
    if len(steps) <= points:
        return [by_step[step] for step in steps]
    from math import log

    logs = [log(1 + step) for step in steps]
    targets = [logs[0] + (logs[-1] - logs[0]) * number / (points - 1) for number in range(points)]
    nearest = {min(steps, key=lambda step: abs(log(1 + step) - target)) for target in targets}
    return [by_step[step] for step in sorted(nearest)]


def revisions(ref: ModelRef) -> list[str]:
    """Names of all known checkpoints along a model's training.

    Raises:
        UsageError: none are known.
        ModelError: the hub cannot be reached.
    """
    if ref.kind == "embedded":
        found = revisions_of(Path(ref.target))
    elif ref.kind == "hub":
        from moe_claims.models.storage.hub_cache import branches

        found = [name for name in branches(ref.target) if step_of(name) is not None]
    else:
        found = []
    if not found:
        raise UsageError(
            f"'{ref.name}' has no checkpoints along its training that are known by name (stepN): give them with "
            "--revisions, or a model that has some, such as tiny-scratch"
        )
    return found


def models(name: str, wanted: Sequence[str] | None, points: int) -> tuple[list[ModelRef], int]:
    """The checkpoints to judge, in order of steps, and the number of available ones.

    Args:
        name: name of the model, without a revision.
        wanted: revisions, or None for the known ones.
        points: largest number of known revisions to select.

    Raises:
        UsageError: the name has a revision, a revision names no step or the step of another, or there is only one.
        ModelError: the hub cannot be reached.
    """
    ref = resolve(name)
    if ref.revision:
        raise UsageError(f"'{name}' names one revision: leave it out, and give several with --revisions")
    known = list(wanted) if wanted else revisions(ref)
    by_step: dict[int, str] = {}
    for revision in known:
        step = step_of(revision)
        if step is None:
            raise UsageError(f"revision '{revision}' names no step: give names such as step500")
        if step in by_step:
            raise UsageError(
                f"'{by_step[step]}' and '{revision}' name one step, as stages of a training do: give those of one "
                "stage with --revisions"
            )
        by_step[step] = revision
    if len(known) < 2:
        raise UsageError(f"'{name}' has one checkpoint to judge, which is no training: give several with --revisions")
    taken = known if wanted else chosen(known, points)
    ordered = sorted(taken, key=lambda revision: step_of(revision) or 0)
    return [resolve(f"{name}@{revision}") for revision in ordered], len(known)


def results_of(settings: Settings) -> dict[str, Any]:
    """The results document of a run whose models are checkpoints of one training, in order.

    Only the last checkpoint is compared with a random-initialisation control, since the architecture is the same for
    all. A checkpoint that cannot be opened or measured is listed in the errors of the document.

    Raises:
        MoeClaimsError: no checkpoint can be opened and measured.
    """
    from moe_claims.report import results
    from moe_claims.run.document import document_of
    from moe_claims.run.session import Session

    full = Session(settings)
    quick = Session(replace(settings, profile="quick"))  # this profile runs no control
    rows: list[Mapping[str, Any]] = []
    cards: list[Mapping[str, Any]] = []
    corpora: list[Mapping[str, Any]] = []
    errors: list[Mapping[str, Any]] = []
    failure: MoeClaimsError | None = None
    for ref in track(settings.models, "points along training", unit="points"):
        session = full if ref is settings.models[-1] else quick
        try:
            found = [(pack, session.judged(pack, ref.name)) for pack in session.packs]
        except MoeClaimsError as error:  # the other checkpoints are still judged
            errors.append({"model": ref.name, "claim": "", "message": str(error)})
            failure = error
            continue
        for pack, judged in found:
            rows += [results.result_row(row) for row in judged.results]
            errors += [
                {"model": ref.name, "claim": pack.key(one.test), "message": one.message} for one in judged.broken
            ]
        _, any_of_them = found[0]
        cards += [any_of_them.card] if any_of_them.card is not None else []
        corpora += any_of_them.corpora
    if failure is not None and not rows:
        raise failure
    parts: dict[str, list[Mapping[str, Any]]] = {
        "pack": [pack.described() for pack in full.packs],
        "model": cards,
        "corpus": corpora,
        "result": rows,
        "error": errors,
    }
    return document_of(settings, full.packs, parts)
