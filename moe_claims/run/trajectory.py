"""Judges several checkpoints of one training, to see when each claim becomes true."""

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_claims._util.progress import track
from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.models.embedded import revisions_of
from moe_claims.models.names import ModelRef, resolve
from moe_claims.report.trajectory import step_of, step_of_model
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


def points_of(names: Sequence[str], wanted: Sequence[str] | None, points: int) -> tuple[list[ModelRef], int]:
    """The checkpoints to judge, in order of steps, and the number of available ones.

    Args:
        names: the name of one model, without a revision; or a folder that contains checkpoints; or several checkpoints,
            of which each has its step in its name.
        wanted: revisions of the one model; None for the known ones.
        points: largest number of known checkpoints to select.

    Raises:
        UsageError: a name or a revision names no step, or the step of another; there is only one; or revisions are
            given of what has none.
        ModelError: the hub cannot be reached.
    """
    if len(names) == 1:
        ref = resolve(names[0])
        if ref.kind != "directory":
            return models(names[0], wanted, points)
    if wanted:
        raise UsageError(f"--revisions {','.join(wanted)}: folders have none; name the folders of the checkpoints")
    if len(names) > 1:
        given = {_step(name): name for name in _distinct([_bare(name) for name in names])}
        if len(given) < 2:
            raise UsageError(f"'{_bare(names[0])}' is there twice: a training needs several checkpoints")
        return [resolve(given[step]) for step in sorted(given)], len(given)
    inside = _inside(ref)
    by_step = {_step(name): name for name in _distinct(inside)}
    steps = {f"step{step}": name for step, name in by_step.items()}
    return [resolve(steps[step]) for step in chosen(list(steps), points)], len(steps)


def _bare(name: str) -> str:
    """A name without the slash that a shell completes a folder's name with."""
    return name.rstrip("/\\") or name


def _step(name: str) -> int:
    """The step in the name of a checkpoint.

    Raises:
        UsageError: there is none.
    """
    step = step_of_model(name)
    if step is None:
        raise UsageError(f"'{name}' names no step: give checkpoints with a number, such as checkpoint-500")
    return step


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, each once.

    Raises:
        UsageError: two of them name one step.
    """
    found: dict[int, str] = {}
    for name in names:
        step = _step(name)
        if found.setdefault(step, name) != name:
            raise UsageError(f"'{found[step]}' and '{name}' name one step, {step}: give one of them")
    return list(found.values())


def _inside(ref: ModelRef) -> list[str]:
    """Names of the checkpoints in a folder: subfolders with a ``config.json`` and a step in their name.

    Raises:
        UsageError: there are fewer than two.
    """
    folder = _bare(ref.name)
    found = sorted(
        f"{folder}/{path.parent.name}"
        for path in Path(ref.target).glob("*/config.json")
        if step_of_model(path.parent.name) is not None
    )
    if len(found) < 2:
        has = f"one checkpoint in it, '{found[0]}'" if found else "no checkpoints in it (checkpoint-500 and the like)"
        raise UsageError(
            f"'{ref.name}' has {has}: a training needs several; name their folders, or the one that contains them"
        )
    return found


def title_of(names: Sequence[str]) -> str:
    """What a trajectory is of: the model, or what the names of its checkpoints have in common.

    Args:
        names: as they were given, one or more.
    """
    if len(names) == 1:
        return Path(names[0]).resolve().name if names[0] in (".", "..", "./", "../") else _bare(names[0])
    bare = [_bare(name) for name in names]
    before = {name.rpartition("@")[0] for name in bare}
    if len(before) == 1 and (model := before.pop()):
        return model
    folders = {os.path.dirname(name) for name in bare}  # noqa: PTH120 - a name of the hub is no path
    folder = folders.pop() if len(folders) == 1 else ""
    if folder.strip("./\\"):
        return folder
    stems = {os.path.basename(name).rstrip("0123456789").rstrip("-_.=") for name in bare}  # noqa: PTH119
    alike = stems.pop() if len(stems) == 1 else ""
    return alike or f"{bare[0]} to {bare[-1]}"


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
