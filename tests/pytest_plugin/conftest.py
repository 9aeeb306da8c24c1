"""Runs of pytest in a terminal of a given width, and what the terminal then shows."""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

_PIECES = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|([\r\n])|([^\x1b\r\n])")


@dataclass
class Shown:
    """What a terminal without a right margin shows: lines, and all that was written in red."""

    lines: list[str] = field(default_factory=lambda: [""])
    red: list[str] = field(default_factory=list)
    raw: str = ""
    status: int = 0

    def read(self, raw: str) -> None:
        """Plays what a program wrote: colours, line ends, and the cursor up and to a column."""
        self.raw, row, column, red = raw, 0, 0, False
        for piece in _PIECES.finditer(raw):
            values, command, end, character = piece.groups()
            if end == "\n":
                row += 1
                self.lines += [""] * (row + 1 - len(self.lines))
            elif end == "\r":
                column = 0
            elif command == "A":
                row -= int(values or 1)
            elif command == "C":
                column += int(values or 1)
            elif command == "K":
                self.lines[row] = self.lines[row][:column]
            elif command == "m":
                codes = values.split(";")
                red = (red and "0" not in codes and values != "") or "31" in codes
            elif character is not None:
                line = self.lines[row].ljust(column)
                self.lines[row] = line[:column] + character + line[column + 1 :]
                column += 1
                if red:
                    self.red.append(character)
                continue
            if self.red and self.red[-1] != " ":
                self.red.append(" ")
        self.lines = [line.rstrip() for line in self.lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def ours(self) -> list[str]:
        """The lines of the plugin's own part and pytest's last line."""
        (at,) = [place for place, line in enumerate(self.lines) if " reproducibility of " in line]
        return [line for line in self.lines[at:] if line]


@pytest.fixture
def in_terminal(pytester: pytest.Pytester) -> Callable[..., Shown]:
    """(columns, *arguments, **environment) → what a terminal shows of pytest run there with these arguments."""
    pty = pytest.importorskip("pty", reason="this platform has no pseudo-terminals")
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")

    def run(columns: int, *arguments: str, **environment: str) -> Shown:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        left_out = ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI", "BUILD_NUMBER", "PYTEST_XDIST_WORKER")
        variables = {name: value for name, value in os.environ.items() if name not in left_out}
        variables |= {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables, cwd=pytester.path, close_fds=True
        )
        os.close(theirs)
        read = bytearray()
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not some:
                break
            read += some
        os.close(ours)
        shown = Shown(status=process.wait())
        shown.read(read.decode(variables["PYTHONIOENCODING"]))
        return shown

    return run
