"""Import of matplotlib, which is optional; all other modules get it from here."""

from typing import Any

from moe_claims.errors import UsageError


def library() -> Any:
    """The module ``matplotlib``, for figures that are made as objects without global state.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise UsageError("the figure needs matplotlib: pip install 'moe-claims[plots]'") from None
    return mpl


def pyplot() -> Any:
    """The module ``matplotlib.pyplot`` with a backend that only draws to files.

    Raises:
        UsageError: matplotlib is not installed.
    """
    library().use("agg")
    from matplotlib import pyplot as plots

    return plots
