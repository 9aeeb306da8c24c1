"""The figures of a report, held in memory until they are saved with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self, final

from moe_claims.errors import UsageError
from moe_claims.report.html import pictures
from moe_claims.report.report_folder import FIGURES

_SUFFIXES = (".png", ".svg")


@final
@dataclass(frozen=True, eq=False)
class SavedFigures:
    """Figures that were drawn for a report."""

    listed: tuple[Mapping[str, Any], ...] = ()
    """Entries of models for ``figures.json``."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Path below the folder of figures → content."""

    @classmethod
    def of_run(cls, folder: Path, listed: Sequence[Mapping[str, Any]]) -> Self:
        """The figures that a run has drawn into the folder of its report."""
        root = folder / FIGURES
        return cls(tuple(listed), {name: _content(root, name) for name in _names(listed)})

    @classmethod
    def of_report(cls, folder: Path) -> Self:
        """The figures beside a results file; none if there is no list of figures.

        Raises:
            UsageError: the list is malformed, or names a file that is missing, no picture or elsewhere.
        """
        path = folder / FIGURES / pictures.LIST
        if not path.exists():
            return cls()
        pictures.read(path.parent)  # refuses what report.html could not show
        try:
            return cls.of_run(folder, json.loads(path.read_text(encoding="utf-8"))["models"])
        except (OSError, ValueError) as error:
            raise UsageError(f"'{path}' lists a figure that cannot be read ({error}): move the file away") from None

    def write(self, folder: Path) -> None:
        """Writes the files to where ``report_folder.write`` expects them.

        Raises:
            OSError: they cannot be written.
        """
        for name, content in self.files.items():
            path = folder / FIGURES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _names(listed: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(name) for model in listed for figure in model["figures"] for name in figure["files"]]


def _content(root: Path, name: str) -> bytes:
    """A figure's file.

    Raises:
        OSError: it cannot be read.
        ValueError: the name leads out of the folder, or is no picture's.
    """
    relative, path = PurePosixPath(name), root / name
    outside = relative.is_absolute() or ".." in relative.parts or not path.resolve().is_relative_to(root.resolve())
    if outside or path.suffix not in _SUFFIXES:
        raise ValueError(f"'{name}' is no picture in that folder")
    return path.read_bytes()
