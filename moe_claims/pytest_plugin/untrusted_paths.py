"""What pytest must not take from a model's folder: its conftest.py, which runs, and settings, which may say what runs.

Before options are known, pytest takes the DIR of ``--model DIR`` for a folder of tests. It looks for its
settings there, and runs conftest.py in it and above it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

OPTIONS = ("--model", "--moe-model", "--moe-second-model", "--moe-dense-reference", "--moe-experiments")
"""Those that name a model, or a folder of results: what others may have made."""


def named(arguments: Sequence[str]) -> list[str]:
    """Values of ``OPTIONS`` that are arguments of their own: of ``--model DIR``, and not of ``--model=DIR``."""
    return [value for option, value in pairwise(arguments) if option in OPTIONS]


def in_clone(paths: Iterable[Path]) -> bool:
    """Whether one of these paths lies in a clone of this repository; elsewhere ``--model`` may be another project's."""
    return any((base / "moe_claims" / "plugin.py").exists() for path in paths for base in (path, *path.parents))


def tests(places: Sequence[str], arguments: Sequence[str], start: Path) -> list[str]:
    """Takes the folders of models out of the paths in which pytest looks for tests.

    Args:
        places: paths in which pytest looks, files and folders, with a test's name behind ``::`` where one is given.
        arguments: of the command line.
        start: folder in which pytest was started.
    """
    models = named(arguments)
    if not in_clone([start, *(start / place.partition("::")[0] for place in places if place not in models)]):
        return list(places)
    left = list(places)
    for model in models:
        if model in left:
            left.remove(model)
    return left


def settings_of_a_model(
    settings: Path | None, places: Sequence[str], arguments: Sequence[str], start: Path
) -> str | None:
    """The model in whose folder pytest found its settings file, unless that file lies above the tests or the start too.

    Args:
        settings: the file.
        places: of tests.
        arguments: of the command line.
        start: where it was started.
    """
    if settings is None:
        return None
    folder = settings.resolve().parent

    def below(path: Path) -> bool:
        return folder in (path.resolve(), *path.resolve().parents)

    models = named(arguments)
    others = [start, *(start / place.partition("::")[0] for place in places if place not in models)]
    beside = [model for model in models if below(start / model)]
    if beside and (any((start / model).resolve() == folder for model in beside) or not any(map(below, others))):
        return beside[0]
    return None
