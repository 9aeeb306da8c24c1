"""Imports libraries of the optional extra ``data`` when a text needs them, and says how to install what is missing."""

import json
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import Any

from moe_claims.errors import UsageError


def install_command(extra: str = "") -> str:
    """The command that installs this package as it is installed now, for messages.

    Args:
        extra: an extra to install with it; empty for none.

    Returns:
        For an editable installation, or where nothing is installed, the command for the clone.
    """
    wanted = f"[{extra}]" if extra else ""
    if _is_clone():
        return f"pip install -e '.{wanted}' in the clone" if extra else "pip install -e . in the clone"
    return f"pip install 'moe-claims{wanted}'" if extra else "pip install moe-claims"


def repair() -> str:
    """What brings back a file of the package that is missing or damaged, as an imperative for messages."""
    return "run 'git restore moe_claims' in the clone" if _is_clone() else "install moe-claims again"


def _is_clone() -> bool:
    """Whether the package runs from its source: installed with ``-e`` (PEP 610), or not installed at all."""
    try:
        record = distribution("moe-claims").read_text("direct_url.json")
    except PackageNotFoundError:
        return True
    try:
        return bool(json.loads(record or "{}").get("dir_info", {}).get("editable", False))
    except (ValueError, AttributeError):  # written by another tool than pip, and not as the standard says
        return False


def check(library: str, text: str) -> None:
    """Checks that a library is installed, without importing it.

    Args:
        library: top-level module name.
        text: name of the text that needs it, for the message.

    Raises:
        UsageError: the library is not installed; the message says how to install it.
    """
    if find_spec(library) is None:
        raise UsageError(f"'{text}' needs the library '{library}', which is not installed: {install_command('data')}")


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
        raise UsageError(
            f"'{text}' needs '{module}', which cannot be imported ({error}): {install_command('data')}"
        ) from None
