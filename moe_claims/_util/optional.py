"""Imports libraries of the optional extra ``data`` when a text needs them, with one message if absent."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from moe_claims.errors import UsageError

INSTALL = "pip install 'moe-claims[data]'"


def check(library: str, text: str) -> None:
    """Checks that a library is installed, without importing it.

    Args:
        library: top-level module name.
        text: name of the text that needs it, for the message.

    Raises:
        UsageError: the library is not installed; the message says how to install it.
    """
    if find_spec(library) is None:
        raise UsageError(f"'{text}' needs the library '{library}', which is not installed: {INSTALL}")


def load(module: str, text: str) -> Any:
    """Imports a module of the extra and returns it.

    Args:
        module: full module name.
        text: name of the text that needs it, for the message.

    Raises:
        UsageError: the module is not installed or cannot be imported.
    """
    check(module.partition(".")[0], text)
    try:
        return import_module(module)
    except ImportError as error:  # an incomplete installation, or incompatible versions
        raise UsageError(f"'{text}' needs '{module}', which cannot be imported ({error}): {INSTALL}") from None
