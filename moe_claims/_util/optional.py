"""Libraries of the optional extra ``data``: imported when a text needs them, and asked for in one way."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from moe_claims.errors import UsageError

INSTALL = "pip install 'moe-claims[data]'"


def check(library: str, text: str) -> None:
    """Whether a library is installed, without importing it.

    Raises:
        UsageError: it is not; the message names the text that needs it and how to install it.
    """
    if find_spec(library) is None:
        raise UsageError(f"'{text}' needs the library '{library}', which is not installed: {INSTALL}")


def load(module: str, text: str) -> Any:
    """A module of the extra.

    Raises:
        UsageError: it cannot be imported.
    """
    check(module.partition(".")[0], text)
    try:
        return import_module(module)
    except ImportError as error:  # half an installation, or versions that do not go together
        raise UsageError(f"'{text}' needs '{module}', which cannot be imported ({error}): {INSTALL}") from None
