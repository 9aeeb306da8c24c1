"""Shows progress: a bar on standard error if that is a terminal, a line there every ten seconds otherwise.

Work of less than two seconds shows nothing. ``set_quiet(True)`` turns progress off, and ``set_place`` leads it
elsewhere, as to pytest's terminal.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Protocol, TypeVar

from moe_claims.printable import one_line

T = TypeVar("T")

_SILENT_FOR = 2.0
_LINE_EVERY = 10.0
_SHOW_EVERY = 0.25


class Place(Protocol):
    """Where progress is written, other than standard error."""

    rewrites: bool
    """Whether text can be taken away again; if not, only ``line`` is called."""
    width: int
    """Columns of a line."""

    def line(self, text: str) -> None:
        """Writes a line that stays."""

    def show(self, text: str) -> None:
        """Shows the text in place of what was shown before."""

    def clear(self) -> None:
        """Takes away what is shown, if anything is."""


_quiet = False
_place: Place | None = None


def set_quiet(quiet: bool) -> None:
    """Turns progress off (``pytest -q``) or on for this process."""
    global _quiet
    _quiet = quiet


def set_place(place: Place | None) -> None:
    """Leads progress of this process to another place; None: standard error."""
    global _place
    _place = place


def track(items: Iterable[T], label: str, *, unit: str = "items", total: int | None = None) -> Iterator[T]:
    """Yields the items and shows how many have been processed.

    Args:
        items: what the caller iterates over.
        label: what is being done, as shown to the user.
        unit: what the items are, in the plural.
        total: number of items, if ``items`` has no length.
    """
    label = one_line(label)  # it may hold names of models and files, which are untrusted
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _quiet:
        yield from items
    elif _place is not None:
        shown = _rewritten(items, label, unit, total, _place) if _place.rewrites else None
        yield from shown or _lines(items, label, unit, total, _place.line)
    elif sys.stderr.isatty():
        yield from _bar(items, label, unit, total)
    else:
        yield from _lines(items, label, unit, total, _to_standard_error)


def _to_standard_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _bar(items: Iterable[T], label: str, unit: str, total: int | None) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(label, total=total)
    shown = False
    try:
        for item in items:
            yield item
            bar.advance(task)
            if not shown and time.monotonic() - began > _SILENT_FOR:
                bar.start()
                shown = True
    finally:
        if shown:
            bar.stop()


def _lines(items: Iterable[T], label: str, unit: str, total: int | None, say: Callable[[str], None]) -> Iterator[T]:
    began = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= _LINE_EVERY:
            say(label + _so_far(done, total, unit, now - began))
            said = now


def _rewritten(items: Iterable[T], label: str, unit: str, total: int | None, place: Place) -> Iterator[T]:
    began = time.monotonic()
    said = began + _SILENT_FOR - _SHOW_EVERY
    try:
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - said >= _SHOW_EVERY:
                place.show(_fitted(label, _so_far(done, total, unit, now - began), place.width - 1))
                said = now
    finally:
        place.clear()


def _so_far(done: int, total: int | None, unit: str, seconds: float) -> str:
    of = "" if total is None else f"/{total:,}"
    left = "" if total is None else f", about {seconds / done * (total - done):,.0f} s left"
    return f": {done:,}{of} {unit} in {seconds:,.0f} s{left}"


def _fitted(label: str, so_far: str, width: int) -> str:
    """The label, shortened so that both fit, and how far it is; on a narrow terminal the latter alone, cut."""
    from rich.cells import cell_len, set_cell_size

    room = width - cell_len(so_far)
    if cell_len(label) > room:
        label = f"{set_cell_size(label, room - 1).rstrip()}…" if room > 8 else ""
    text = label + so_far if label else so_far.removeprefix(": ")
    return text if cell_len(text) <= width else set_cell_size(text, width)
