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
    """What stands behind such an option as an argument of its own."""
    return [value for option, value in pairwise(arguments) if option in OPTIONS]


def in_clone(paths: Iterable[Path]) -> bool:
    """Whether one of these is in a clone of this repository; elsewhere ``--model`` may be another's."""
    return any((base / "moe_claims" / "guard.py").exists() for path in paths for base in (path, *path.parents))


def tests(places: Sequence[str], arguments: Sequence[str], start: Path) -> list[str]:
    """Of what pytest takes for places of tests, those that are: models are none.

    Args:
        places: what it takes for them.
        arguments: of the command line.
        start: where it was started.
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
    """The model because of which pytest took its settings from a file, if that lies neither above it nor above tests.

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
