"""What is done in a notebook alone. IPython is never imported before the user's notebook has imported it."""

import sys
from importlib import import_module
from typing import Any

_IMAGES = ("image/png", "image/svg+xml", "image/jpeg", "application/pdf")


def shell() -> Any:
    """The IPython shell of the notebook that this process serves; None if it serves none, as in a terminal."""
    ipython = sys.modules.get("IPython")
    found = None if ipython is None else ipython.get_ipython()
    return None if getattr(found, "kernel", None) is None else found


def display(html: str, text: str) -> bool:
    """Shows HTML in the output of the cell that runs, or ``text`` where HTML cannot be shown.

    Returns:
        Whether there is a notebook; if not, nothing was shown.
    """
    if shell() is None:
        return False
    import_module("IPython.display").display({"text/html": html, "text/plain": text}, raw=True)
    return True


def show_figures() -> None:
    """Makes the notebook show a figure that is the last line of a cell, unless the user has said how to show it."""
    here = shell()
    if here is None:
        return
    kind = import_module("matplotlib.figure").Figure
    for name in _IMAGES:
        try:
            here.display_formatter.formatters[name].lookup_by_type(kind)
        except KeyError:
            continue
        return
    import_module("IPython.core.pylabtools").select_figure_formats(here, {"png"})
