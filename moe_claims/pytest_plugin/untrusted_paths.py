"""Protection against code in model folders: pytest must not use a conftest.py or settings file from them.

Before plugins have registered their options, pytest treats the DIR of ``--model DIR`` as a folder of tests: it looks
for its settings there, and runs conftest.py in it and in its parents.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

OPTIONS = (
    "--model",
    "--moe-model",
    "--moe-second-model",
    "--moe-dense-reference",
    "--moe-experiments",
    "--moe-plan-file",
)
"""Options whose value is a model, a folder of results or a plan, which may come from someone else."""


def named(arguments: Sequence[str]) -> list[str]:
    """Values of ``OPTIONS`` that are separate arguments, as in ``--model DIR`` but not in ``--model=DIR``."""
    return [value for option, value in pairwise(arguments) if option in OPTIONS]


def in_clone(paths: Iterable[Path]) -> bool:
    """Whether a path lies in a clone of this repository; elsewhere ``--model`` may be another project's option."""
    return any((base / "moe_claims" / "plugin.py").exists() for path in paths for base in (path, *path.parents))


def tests(paths: Sequence[str], arguments: Sequence[str], start: Path) -> list[str]:
    """Removes the folders of models from the paths in which pytest looks for tests.

    Args:
        paths: files and folders in which pytest looks, possibly with the name of a test after ``::``.
        arguments: arguments of the command line.
        start: folder in which pytest was started.

    Returns:
        The remaining paths.
    """
    models = named(arguments)
    if not in_clone([start, *(start / path.partition("::")[0] for path in paths if path not in models)]):
        return list(paths)
    left = list(paths)
    for model in models:
        if model in left:
            left.remove(model)
    return left


def settings_of_a_model(
    settings: Path | None, paths: Sequence[str], arguments: Sequence[str], start: Path
) -> str | None:
    """The model in whose folder pytest found its settings file; None if the file also covers the tests or the start.

    Args:
        settings: the settings file; None if pytest found none.
        paths: paths in which pytest looks for tests.
        arguments: arguments of the command line.
        start: folder in which pytest was started.
    """
    if settings is None:
        return None
    folder = settings.resolve().parent

    def below(path: Path) -> bool:
        return folder in (path.resolve(), *path.resolve().parents)

    models = named(arguments)
    others = [start, *(start / path.partition("::")[0] for path in paths if path not in models)]
    beside = [model for model in models if below(start / model)]
    if beside and (any((start / model).resolve() == folder for model in beside) or not any(map(below, others))):
        return beside[0]
    return None
