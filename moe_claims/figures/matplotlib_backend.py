"""Import of matplotlib, which is slow and therefore done when a figure is drawn; all other modules get it from here."""

from typing import Any

from moe_claims._util.optional import install_command
from moe_claims.errors import UsageError


def library() -> Any:
    """The module ``matplotlib``, for figures that are made as objects without global state.

    Raises:
        UsageError: matplotlib is missing, as in an installation without dependencies.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise UsageError(f"figures need matplotlib, which is not installed: {install_command()}") from None
    return mpl


def pyplot() -> Any:
    """The module ``matplotlib.pyplot`` with a backend that only draws to files.

    Raises:
        UsageError: matplotlib is missing.
    """
    library().use("agg")
    from matplotlib import pyplot as plots

    return plots
