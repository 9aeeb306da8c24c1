"""Matplotlib, where it is installed: the one place that figures get it from."""

from typing import Any

from moe_claims.errors import UsageError


def library() -> Any:
    """``matplotlib`` itself, for figures that are made as objects and leave no state behind.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise UsageError("the figure needs matplotlib: pip install 'moe-claims[plots]'") from None
    return mpl


def pyplot() -> Any:
    """``matplotlib.pyplot``, drawing to files alone.

    Raises:
        UsageError: matplotlib is not installed.
    """
    library().use("agg")
    from matplotlib import pyplot as plots

    return plots
