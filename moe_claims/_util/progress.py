"""Shows progress on standard error: a bar on a terminal, a line every ten seconds otherwise.

Work of less than two seconds shows nothing, and ``set_quiet(True)`` turns progress off.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from moe_claims.printable import one_line

T = TypeVar("T")

_SILENT_FOR = 2.0
_LINE_EVERY = 10.0
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Turns progress off (``pytest -q``) or on for this process."""
    global _quiet
    _quiet = quiet


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
    elif sys.stderr.isatty():
        yield from _bar(items, label, unit, total)
    else:
        yield from _lines(items, label, unit, total)


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


def _lines(items: Iterable[T], label: str, unit: str, total: int | None) -> Iterator[T]:
    began = said = time.monotonic()
    of = "" if total is None else f"/{total:,}"
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= _LINE_EVERY:
            left = "" if total is None else f", about {(now - began) / done * (total - done):,.0f} s left"
            print(f"{label}: {done:,}{of} {unit} in {now - began:,.0f} s{left}", file=sys.stderr, flush=True)
            said = now
