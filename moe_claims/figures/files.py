"""Writes figures to files, one per kind and format; the same measurements give identical bytes."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.progress import track
from moe_claims.errors import MoeClaimsError
from moe_claims.figures import style
from moe_claims.figures.catalogue import KINDS, Kind
from moe_claims.figures.data import Subject
from moe_claims.packs.look_into_moes.pack import PACK

FORMATS = {"png": ("png",), "svg": ("svg",), "both": ("png", "svg")}
"""Value of ``--format`` → suffixes of the files to write."""
DPI = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_LONGEST = 60
_NEAR = (0, 2, 4, 6, 8)
"""Largest differences per channel, of 255, at which two colours are merged; the smallest sufficient one is used."""

Bytes = NDArray[np.uint8]


@final
@dataclass(frozen=True)
class Written:
    """The result of drawing one kind of figure for one model."""

    kind: Kind
    caption: str
    files: tuple[Path, ...] = ()
    reason: str | None = None
    """Reason why it was not drawn; None if it was."""

    def as_entry(self, folder: Path) -> dict[str, Any]:
        """The entry in ``figures.json``; file paths are relative to ``folder``."""
        return {
            "id": self.kind.id,
            "title": self.kind.title,
            "paper": PACK.paper,
            "counterpart": self.kind.counterpart,
            "claims": list(self.kind.claims),
            "caption": self.caption,
            "files": [relative(path, folder) for path in self.files],
            "reason": self.reason,
        }


def relative(path: Path, folder: Path) -> str:
    """Path of a file relative to a folder, with forward slashes on every system."""
    return PurePath(os.path.relpath(path, folder)).as_posix()


def write(subject: Subject, folder: Path, formats: Sequence[str], kinds: Sequence[Kind] | None = None) -> list[Written]:
    """Draws the kinds of figures (None: all) of a model and writes them; for those that do not apply, gives the reason.

    Raises:
        UsageError: matplotlib is not installed.
    """
    with style.style():
        coming = track(KINDS if kinds is None else kinds, f"figures of {subject.name}", unit="figures")
        return [_written(kind, subject, folder, formats) for kind in coming]


def _written(kind: Kind, subject: Subject, folder: Path, formats: Sequence[str]) -> Written:
    try:
        drawing = kind.draw(subject)
    except MoeClaimsError as error:
        return Written(kind, kind.caption, reason=str(error))
    folder.mkdir(parents=True, exist_ok=True)  # not before, so that none is left empty
    files = tuple(folder / f"{kind.id}.{suffix}" for suffix in formats)
    for path in files:
        _save(drawing.figure, path, kind.title)
    return Written(kind, " ".join([kind.caption, *drawing.notes]), files)


def _save(figure: Any, path: Path, title: str) -> None:
    """Writes a figure atomically and without a time stamp."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # workers may draw the same model
    if path.suffix == ".png":
        _image(figure).save(partial, format="PNG", optimize=True)
    else:
        figure.savefig(partial, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None, "Title": title})
    partial.replace(path)


def _image(figure: Any) -> Any:
    """The rendered figure as a Pillow image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    colours = np.asarray(canvas.buffer_rgba())[..., :3]
    few = few_colours(colours)
    if few is None:
        return Image.fromarray(colours)
    indices, palette = few
    image = Image.fromarray(indices, mode="P")
    image.putpalette(palette.tobytes())
    return image


def few_colours(colours: Bytes) -> tuple[Bytes, Bytes] | None:
    """Reduces an image to a palette of at most 256 colours, which takes a third of the bytes without visible changes.

    The most frequent colours, those of cells, lines and background, are kept; rarer ones, at the edges of
    characters, are replaced by a near frequent one.

    Args:
        colours: (height, width, 3) RGB image.

    Returns:
        (height, width) indices and (n, 3) palette; None if 256 colours are not enough. No channel of a pixel changes
        by more than ``_NEAR[-1]`` of 255.
    """
    codes = colours.astype(np.int64) @ np.asarray((1 << 16, 1 << 8, 1))
    found, indices, counts = np.unique(codes, return_inverse=True, return_counts=True)
    rgb = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    often = np.argsort(-counts, kind="stable")
    for near in _NEAR:
        chosen, home = _merged(rgb[often], near)
        if chosen is not None:
            index = np.empty(len(found), dtype=np.uint8)
            index[often] = home
            return index[indices].reshape(codes.shape), rgb[often][chosen].astype(np.uint8)
    return None


def _merged(colours: NDArray[np.int64], near: int) -> tuple[list[int] | None, NDArray[np.int64]]:
    """Indices of the (n, 3) colours that stay, and (n,) the number of the one that replaces each; None for over 256."""
    home = np.full(len(colours), -1)
    chosen: list[int] = []
    for number in range(len(colours)):
        if home[number] >= 0:
            continue
        if len(chosen) == 256:
            return None, home
        alike = (np.abs(colours - colours[number]).max(axis=1) <= near) & (home < 0)
        home[alike] = len(chosen)
        chosen.append(number)
    return chosen, home


def folder_names(names: Sequence[str]) -> list[str]:
    """A distinct folder name for each model: its name without characters that file systems may not allow."""
    found: list[str] = []
    for name in names:
        plain = _UNSAFE.sub("-", name).strip(".-")[:_LONGEST] or "model"
        number = next(number for number in range(1, len(names) + 1) if _numbered(plain, number) not in found)
        found.append(_numbered(plain, number))
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
