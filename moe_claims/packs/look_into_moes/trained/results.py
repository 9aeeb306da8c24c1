"""Reads the results of training experiments and checks that they are complete. Imports nothing heavy.

The files ``dense-layer-position.json`` and ``training-scheme.json`` lie beside this module; the
scripts of the same names in the repository's ``experiments/`` write them.
"""

import json
import math
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from moe_claims.errors import UsageError

MATRICES = ("up", "act", "down")
"""Kinds of an expert's matrices, in the order of reports."""
EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Names of the setting for the number of experts per layer, in different model families."""
_SCHEMES = ("scratch", "upcycled")
_FEWEST_LAYERS = 3
"""Fewest layers: first, last but one and last; a trend that leaves out the last needs two more."""


class _UnusableError(Exception):
    """A defect of a results file; the message is the middle of a sentence."""


def load(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The results of one experiment.

    Args:
        name: ``dense-layer-position`` or ``training-scheme``.
        folder: folder of its file; None for the file in the package.

    Raises:
        UsageError: the file is missing, is of another experiment, or lacks something that its claim needs.
    """
    check = _CHECKS[name]
    base = files("moe_claims.packs.look_into_moes.trained") if folder is None else folder
    path = base / f"{name}.json"
    remedy = (
        f"'python experiments/{name.replace('-', '_')}.py --text FILE --output {name}.json' in the repository makes it"
    )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}' with results of trainings: {remedy}") from None
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read ({error.strerror}): {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' holds no results of trainings ({error}): {remedy}") from None
    try:
        if not isinstance(found, dict) or found.get("experiment") != name:
            raise _UnusableError(f"is not of the experiment '{name}'")
        _get(found, "text", str)
        check(found)
    except _UnusableError as error:
        raise UsageError(f"'{path}' {error}: {remedy} anew") from None
    return found


def _check_positions(found: Mapping[str, Any]) -> None:
    layers = _get(found, "layers", int)
    if layers < _FEWEST_LAYERS:
        raise _UnusableError(f"is of models of {layers} layer(s), of which none is before the last but one")
    _check_recipe(_get(found, "recipe", dict))
    seen = set()
    for run in _rows(found, "runs"):
        seed, position, matched = _get(run, "seed", int), run.get("position"), run.get("matched")
        if (position is None) != (matched is None) or not (
            position is None or (_whole(position) and 0 <= position < layers and isinstance(matched, str))
        ):
            raise _UnusableError(f"has a run of seed {seed} whose dense layer is {position} ({matched})")
        where = f"seed {seed}, " + ("all-MoE" if position is None else f"dense layer {position}, {matched}")
        if (seed, position, matched) in seen:
            raise _UnusableError(f"has the run of {where} twice")
        seen.add((seed, position, matched))
        _check_loss(run, where)
        _get(run, "parameters", int)
        if position is not None:
            _get(run, "dense_width", int)
    kinds = {(position, matched) for _, position, matched in seen} | {(None, None)}
    for seed in sorted({seed for seed, _, _ in seen}):
        for position, matched in sorted(kinds, key=str):
            if (seed, position, matched) not in seen:
                what = "the all-MoE run" if position is None else f"the run with dense layer {position} ({matched})"
                raise _UnusableError(f"lacks {what} of seed {seed}")


def _check_scheme(found: Mapping[str, Any]) -> None:
    _check_recipe(_get(_get(found, "recipes", dict), "moe", dict))
    seeds = _rows(found, "seeds")
    numbers = [_get(seed, "seed", int) for seed in seeds]
    if len(set(numbers)) < len(numbers):
        raise _UnusableError("has a seed twice")
    steps = set()
    for number, seed in zip(numbers, seeds, strict=True):
        for scheme in _SCHEMES:
            model, where = _get(seed, scheme, dict), f"seed {number}, {scheme}"
            _check_loss(model, where)
            _get(model, "parameters", int)
            steps.add(_check_points(model, where))
    if len(steps) > 1:
        raise _UnusableError("follows its models at points along training that are not the same for all")
    zoo = found.get("zoo")
    if zoo is not None:
        for scheme in _SCHEMES:
            model = _get(_get(found, "zoo", dict), scheme, dict)
            _check_points(model, _get(model, "model", str))
            _get(model, "seed", int)
            if not _finite(model.get("learning_rate")):
                raise _UnusableError(f"has no finite learning_rate ({model['model']})")


def _check_points(model: Mapping[str, Any], where: str) -> tuple[int, ...]:
    """Checks that every point along training has all layers of all matrices, and returns their steps in order."""
    points = _rows(model, "points")
    steps = tuple(_get(point, "step", int) for point in points)
    if len(steps) < 2 or list(steps) != sorted(set(steps)):
        raise _UnusableError(f"has no two points or more along training, in order ({where})")
    sizes = set()
    for point in points:
        for measured in ("similarity", "order"):
            by_matrix = _get(point, measured, dict)
            for matrix in MATRICES:
                values = _get(by_matrix, matrix, list)
                sizes.add(len(values))
                if not values or not all(map(_finite, values)):
                    raise _UnusableError(f"has no finite {measured} of {matrix} at step {point['step']} ({where})")
    if len(sizes) > 1:
        raise _UnusableError(f"has points of different numbers of layers ({where})")
    return steps


def _check_recipe(recipe: Mapping[str, Any]) -> None:
    _get(recipe, "family", str)
    _get(recipe, "steps", int)
    settings = _get(recipe, "settings", dict)
    _get(settings, "num_hidden_layers", int)
    if not any(_whole(settings.get(key)) for key in EXPERT_COUNTS):
        raise _UnusableError("does not say how many experts its models have")


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "dense-layer-position": _check_positions,
    "training-scheme": _check_scheme,
}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _get(found: Mapping[str, Any], key: str, kind: type) -> Any:
    value = found.get(key)
    if not (_whole(value) if kind is int else isinstance(value, kind)):
        words = {int: "whole number", str: "text", list: "list", dict: "object"}
        raise _UnusableError(f"has no {words[kind]} '{key}' where one belongs")
    return value


def _rows(found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _get(found, key, list)
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise _UnusableError(f"has no list of objects '{key}'")
    return rows


def _check_loss(found: Mapping[str, Any], where: str) -> None:
    if not _finite(found.get("held_out_nats")):
        raise _UnusableError(f"has no finite held_out_nats ({where})")
