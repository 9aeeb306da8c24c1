"""Progress during a pytest run, on a line of its own that breaks no line of pytest's."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, final

import pytest

from moe_claims.pytest_plugin.status import screen_of


@contextmanager
def progress_shown(config: pytest.Config) -> Iterator[None]:
    """Context in which progress is shown despite pytest's capturing, except with ``-q`` and in xdist workers.

    Only progress gets through: what libraries print meanwhile is captured, as in any test.
    """
    from moe_claims._util.progress import set_place, set_quiet

    reporter = config.pluginmanager.getplugin("terminalreporter")
    quiet = config.option.verbose < 0 or hasattr(config, "workerinput") or reporter is None
    set_quiet(quiet)
    if quiet:
        yield
        return
    place = PytestPlace(config, reporter)
    set_place(place)
    try:
        yield
    finally:
        place.clear()
        set_place(None)


@final
class PytestPlace:
    """Where progress goes in a pytest run: below pytest's current line on a terminal, else to lines that stay.

    On a terminal, the cursor goes to the line below, and back to where pytest left it when the progress is taken away.

    Attributes:
        rewrites: whether progress can be taken away again.
        width: columns of the terminal.
    """

    def __init__(self, config: pytest.Config, reporter: Any) -> None:
        self._reporter = reporter
        self._writer = config.get_terminal_writer()
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._lock = threading.RLock()
        self._shown = False
        # Before pytest 9, nothing can be written without pytest's taking it for a part of its own line.
        can = hasattr(self._writer, "write_raw") and os.environ.get("TERM") != "dumb"
        self.rewrites = bool(reporter.isatty) and can
        self._screen = screen_of(config)
        self.width = self._screen.width

    def _past_capturing(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._capture is None else self._capture.global_and_fixture_disabled()

    def line(self, text: str) -> None:
        """Writes a line that stays."""
        with self._lock, self._past_capturing():
            self.clear()
            self._reporter.write_line(self._screen.plain(text))

    def show(self, text: str) -> None:
        """Writes the text below pytest's current line, in place of what was shown before."""
        with self._lock, self._past_capturing():
            before = "\r" if self._shown else "\r\n"
            self._shown = True
            self._writer.write_raw(f"{before}{self._screen.plain(text)}\x1b[K", flush=True)

    def clear(self) -> None:
        """Takes away what is shown."""
        with self._lock:
            if not self._shown:
                return
            self._shown = False
            used = self._writer.width_of_current_line
            back = used % self.width
            # A full line leaves the cursor on its last column, where going back would write over a character.
            up = "" if used and not back else "\x1b[A" + (f"\x1b[{back}C" if back else "")
            with self._past_capturing():
                self._writer.write_raw(f"\r\x1b[K{up}", flush=True)
