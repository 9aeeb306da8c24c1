"""``Screen``: what a terminal can show, and text, lists and tables that fit it.

No number is ever folded or cut: names are folded, and whatever does not fit as a table is written as a list.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

SIGN_COLOURS = {
    "replicated": "green",
    "direction-only": "yellow",
    "contradicted": "red",
    "absent": "cyan",
    "inconclusive": "",
    "not-applicable": "",
    "agrees": "green",
    "disagrees": "yellow",
    "lacks-power": "",
}
"""Colour of each verdict and of each outcome of an audit; the empty string is the terminal's own. Red is for errors and
for what is contradicted."""

_SIGNS = "✓✗○–†"
_ASCII = str.maketrans(
    {
        "✓": "v", "✗": "x", "○": "o", "–": "-", "†": "*", "·": "-", "—": "-", "−": "-", "…": "...", "→": "->",
        "≤": "<=", "≥": ">=", "±": "+-", "×": "x", "²": "^2", "‘": "'", "’": "'", "“": '"', "”": '"',
        "α": "alpha", "δ": "delta", "θ": "theta", "ρ": "rho", "σ": "sigma", "τ": "tau", "′": "'",
    }
)  # fmt: skip
"""What stands for signs where the terminal's encoding lacks them; signs of verdicts differ from each other."""

_ENDS = re.compile(r"(?<=[-/&?_=:,@ ])(?!\d)|(?<=\.)(?!\d)")
"""Where a name may be folded: after these characters, but not inside a number."""
_GAP = 2
"""Columns between two columns of a table."""

Cell = str | tuple[str, str]
"""Text of a cell, or text and colour."""


@final
@dataclass(frozen=True)
class Screen:
    """A terminal, or a file of text."""

    width: int = 120
    """Columns."""
    colour: bool = False
    """Whether text may be coloured."""
    encoding: str = "utf-8"
    """Encoding of what is written."""
    wraps: bool = True
    """Whether sentences are wrapped; in the log of a run, each is a line that programs find."""

    def plain(self, text: str) -> str:
        """Text in characters that the encoding has: others become ASCII signs or escapes."""
        try:
            _SIGNS.encode(self.encoding)
        except UnicodeEncodeError:
            text = text.translate(_ASCII)
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def columns(self, text: str) -> int:
        """The number of columns that a text takes on this screen."""
        from rich.cells import cell_len

        return cell_len(self.plain(text))

    def folded(self, name: str, width: int) -> list[str]:
        """A name in lines of at most ``width`` columns, folded after punctuation where that is possible."""
        lines = [""]
        for piece in _ENDS.split(self.plain(name)):
            if self.columns((lines[-1] + piece).rstrip()) <= width:
                lines[-1] += piece
                continue
            if lines[-1]:
                lines.append("")
            for character in piece:
                if lines[-1] and self.columns(lines[-1] + character) > width:
                    lines.append("")
                lines[-1] += character
        return [line.rstrip() for line in lines]

    def narrowest(self, name: str) -> int:
        """The columns of the longest part of a name that ``folded`` need not split."""
        return max(self.columns(piece.rstrip()) for piece in _ENDS.split(name))

    def painted(self, text: str, colour: str) -> str:
        """The text in a colour if the screen has colours; the text itself is made ``plain``."""
        text = self.plain(text)
        if not self.colour or not colour:
            return text
        code = {"red": 31, "green": 32, "yellow": 33, "cyan": 36}[colour]
        return f"\x1b[{code}m{text}\x1b[0m"

    def paragraph(
        self, text: str, *, indent: str = "  ", first: str = "", colour: str = "", whole: bool = False
    ) -> str:
        """Text wrapped at spaces.

        Args:
            text: the text.
            indent: begins every line but the first.
            first: begins the first line.
            colour: colour of the text.
            whole: whether words longer than a line, such as paths that are to be copied, are left whole.
        """
        words = [(word, colour) for word in text.split(" ")] if self.wraps else [(text, colour)]
        return self.listed(words, " ", indent=indent, first=first, whole=whole or not self.wraps)

    def listed(
        self, parts: Iterable[Cell], between: str = ", ", *, indent: str = "  ", first: str = "", whole: bool = False
    ) -> str:
        """Parts in one line or more, broken between parts; a part that is longer than a line is folded."""
        between, indent = self.plain(between), self.plain(indent)
        lines, used, fresh = [self.plain(first)], self.columns(first), True

        def add(text: str, colour: str) -> None:
            nonlocal used, fresh
            lines[-1] += self.painted(text, colour)
            used, fresh = used + self.columns(text), False

        def begin() -> None:
            nonlocal used
            lines.append(indent)
            used = self.columns(indent)

        for part in parts:
            text, colour = _of(part)
            if not fresh and used + self.columns(between + text + between.rstrip()) > self.width:
                lines[-1] += between.rstrip()
                begin()
            elif not fresh:
                add(between, "")
            room = max(self.width - max(used, self.columns(indent)) - self.columns(between.rstrip()), 8)
            pieces = [text] if whole or self.columns(text) <= room else self.folded(text, room)
            for number, piece in enumerate(pieces):
                if number:
                    begin()
                add(piece, colour)
        return "\n".join(line.rstrip() for line in lines)

    def table(
        self, headers: Sequence[str], rows: Sequence[Sequence[Cell]], widths: Mapping[int, int], right: int = -1
    ) -> str:
        """A table; the caller sees to it that the columns fit.

        Args:
            headers: header of each column, with line breaks.
            rows: cells, with line breaks.
            widths: column → its width, as ``width_of`` gives it, for columns whose text is folded to it.
            right: the column that is aligned to the right; -1 for none.
        """
        from rich.box import Box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        rule = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
        table = Table(box=rule, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), header_style="")
        for place, header in enumerate(headers):
            table.add_column(
                Text("\n".join(self._lines(header, widths.get(place)))),
                justify="right" if place == right else "left",
                vertical="top",
                no_wrap=True,
            )
        for row in rows:
            cells = []
            for place, cell in enumerate(row):
                text, colour = _of(cell)
                cells.append(Text("\n".join(self._lines(text, widths.get(place))), style=colour))
            table.add_row(*cells)
        out = io.StringIO()
        console = Console(
            file=out,
            width=10_000,  # the columns have their widths: rich must not shrink one of numbers
            force_terminal=self.colour,
            force_jupyter=False,
            force_interactive=False,
            color_system="standard" if self.colour else None,
            no_color=not self.colour,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )
        console.print(table, crop=False, overflow="ignore")
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip("\n")

    def _lines(self, text: str, width: int | None) -> list[str]:
        lines = text.split("\n")
        if width is None:
            return list(map(self.plain, lines))
        return [part for line in lines for part in self.folded(line, width)]

    def width_of(self, cells: Iterable[Cell]) -> int:
        """The columns of the widest line of all cells."""
        return max((self.columns(line) for cell in cells for line in _of(cell)[0].split("\n")), default=0)

    def left(self, widths: Iterable[int]) -> int:
        """The columns that are left for one more column of a table beside columns of these widths."""
        return self.width - sum(width + _GAP for width in widths)


def _of(cell: Cell) -> tuple[str, str]:
    return (cell, "") if isinstance(cell, str) else cell
