"""Makes the tests of the claims findable as ``moe_claims.claims`` where the package runs from a clone.

A wheel has them inside the package. A clone has them beside it, in ``claims/``, where an editable installation does not
look; ``pytest --pyargs moe_claims.claims`` shall work with both.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import final

NAME = "moe_claims.claims"
"""Module name of the tests of the claims, in a wheel and in a clone."""


@final
class ClaimsInClone:
    """A finder for ``sys.meta_path`` that knows one package: the folder ``claims`` of a clone."""

    def __init__(self, clone: Path) -> None:
        """A finder for the claims of one clone, which need not be there.

        Args:
            clone: folder in which the package ``moe_claims`` lies.
        """
        self._clone = clone

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the claims; None for every other module, and where there is no clone."""
        tests = self._clone / "claims"
        # In site-packages, a folder of this name would be somebody else's.
        if fullname != NAME or not (self._clone / "pyproject.toml").is_file() or not (tests / "__init__.py").is_file():
            return None
        # As if the clone were on the package's path, for this one name.
        return PathFinder.find_spec(fullname, [str(self._clone)], target)


def make_findable() -> None:
    """Adds the finder behind all others, so that a wheel's claims come first; does nothing the second time."""
    if not any(isinstance(finder, ClaimsInClone) for finder in sys.meta_path):
        sys.meta_path.append(ClaimsInClone(Path(__file__).parents[2]))
