"""Options as Python values: what ``settings_from`` takes, and its errors in the words of Python."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral
from os import PathLike, fspath
from pathlib import Path

from moe_claims._util.progress import set_quiet
from moe_claims.errors import UsageError
from moe_claims.settings import OPTIONS

Name = str | PathLike[str]
"""A model or a text by name; a path is always a folder or a file."""
Names = Name | Iterable[Name]
"""One name, or several."""
Layers = int | str | Iterable[int]
"""Numbers of layers, or a text such as ``0,15,31``."""

KEYWORDS = {option.name: option.name.replace("-", "_") for option in OPTIONS} | {"pack": "packs"}
"""Name of an option → the keyword of ``evaluate``."""
_OTHERS = ("what", "token-ids", "shared-experts")
_NAMED = re.compile(r"--(?:moe-)?(" + "|".join(sorted((*KEYWORDS, *_OTHERS), key=len, reverse=True)) + r")(?![\w-])")


def model_name(given: Name) -> str:
    """The name of a model as the command line takes it; a path is written so that no alias can be meant."""
    if isinstance(given, str):
        return given
    path = Path(given)
    return str(path) if path.is_absolute() or str(path).startswith(("~", ".")) else f"./{path}"


def text_name(given: Name) -> str:
    """The name of a text as the command line takes it."""
    return fspath(given)


def several(keyword: str, given: Names | None) -> list[Name] | None:
    """One name or several as a list; None if none were given.

    Raises:
        UsageError: the list is empty.
    """
    if given is None:
        return None
    names = [given] if isinstance(given, str | PathLike) else list(given)
    if not names:
        raise UsageError(f"{keyword} is an empty list: give at least one, or leave it out")
    return names


def layers_text(given: Layers | None) -> str | None:
    """Numbers of layers as the command line takes them.

    Raises:
        UsageError: there are none.
    """
    if given is None or isinstance(given, str):
        return given
    numbers = [given] if isinstance(given, int | Integral) else list(given)
    if not numbers:
        raise UsageError("layers is an empty list: give at least one, or leave it out")
    return ",".join(map(str, numbers))


def number_text(given: float | None) -> str | None:
    """A number as the command line takes it, which refuses what is no such number."""
    return None if given is None else str(given)


@contextmanager
def in_words_of_python() -> Iterator[None]:
    """Context in which an error names keywords and not options of the command line."""
    try:
        yield
    except UsageError as error:
        named = _NAMED.sub(lambda found: KEYWORDS.get(found[1], found[1].replace("-", "_")), str(error))
        raise UsageError(named) from None


@contextmanager
def progress_shown(shown: bool) -> Iterator[None]:
    """Context in which progress is shown on standard error, as the commands do, or not."""
    set_quiet(not shown)
    try:
        yield
    finally:
        set_quiet(False)
