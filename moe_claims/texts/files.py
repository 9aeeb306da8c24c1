"""Reads texts from files: finds the file and field that a name refers to, and splits the content into passages."""

import csv
import io
import json
import os.path
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, final

from moe_claims._util import optional
from moe_claims.errors import TextError, UsageError

KINDS = ".txt, .jsonl[:FIELD], .csv[:COLUMN] or .parquet[:COLUMN]"
"""The supported kinds of files, as shown in messages and help."""

_DEFAULT = "text"
_SPLIT = re.compile(r"\.(?:jsonl|csv|parquet)(:)", re.IGNORECASE)
_LONGEST_NAME = 100
"""Characters; a longer single entry in the first line of a .csv file is taken for text, not for a column name."""
_LISTED = 12
"""Largest number of fields that an error message lists."""


@final
@dataclass(frozen=True)
class File:
    """A text file, and the field of its records that holds the text."""

    path: str
    field: str | None
    """Field or column that holds the text; None if the user did not name one."""

    @property
    def suffix(self) -> str:
        """Lower-case file suffix, which decides how the file is read."""
        return os.path.splitext(self.path)[1].lower()  # noqa: PTH122 - pathlib raises for a name with a NUL


def find(name: str) -> File | None:
    """The file that a name such as ``my.jsonl:text`` refers to; None if there is no such file.

    If the whole name is an existing path, that file is meant. Otherwise a colon separates path and field, but only
    right after ``.jsonl``, ``.csv`` or ``.parquet``, so that drive letters and colons in folder names do no harm.
    """
    colons = [match.start(1) for match in _SPLIT.finditer(name)]
    for path, field in [(name, None), *((name[:colon], name[colon + 1 :]) for colon in colons)]:
        # os.path returns False where pathlib raises: for an unknown ~user, or a name too long for the file system.
        expanded = os.path.expanduser(path)  # noqa: PTH111
        if os.path.isfile(expanded):  # noqa: PTH113
            return File(expanded, field)
    return None


def missing(name: str) -> str | None:
    """What is wrong with a name that ``find`` found no file for, if it can only be meant as a file's; else None."""
    colon = _SPLIT.search(name)
    path = name if colon is None else name[: colon.start(1)]
    if os.path.isdir(os.path.expanduser(name)):  # noqa: PTH111, PTH112 - as in find
        return f"'{name}' is a folder"
    if os.path.splitext(path)[1] or path.startswith("~") or any(apart in path for apart in "/\\"):  # noqa: PTH122
        return f"there is no file '{path}'"
    return None


def check(file: File) -> None:
    """Checks that a file is of a supported kind, without opening it.

    Raises:
        UsageError: the kind is not supported, or needs a library that is not installed.
    """
    if file.suffix not in _READERS:
        raise UsageError(f"'{file.path}' is not a supported kind of file: give a {KINDS} file")
    if file.suffix == ".parquet":
        optional.check("pyarrow", file.path)


def passages(file: File) -> tuple[str, ...]:
    """The passages of a file: parts of a .txt file, records of the other kinds. Blank passages are dropped.

    Raises:
        UsageError: the file cannot be opened, or has no such field or column.
        TextError: the file is not UTF-8, or a record is malformed; the message names the line or row.
    """
    try:
        return tuple(passage for passage in _READERS[file.suffix](file) if passage.strip())
    except OSError as error:
        raise UsageError(f"'{file.path}' cannot be read ({error.strerror or error}): check the file") from None


def _decoded(file: File) -> str:
    try:
        return Path(file.path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"'{file.path}' is not UTF-8 (byte {error.start}): convert it first") from None


def split_passages(raw: str) -> Iterator[str]:
    """Splits plain text into passages: at form feeds if it contains any, otherwise at blank lines."""
    raw = raw.replace("\r\n", "\n")
    # Form feeds are for passages that contain blank lines themselves, such as source code.
    for piece in raw.split("\f") if "\f" in raw else re.split(r"\n[ \t]*\n", raw):
        if stripped := piece.strip():
            yield stripped


def _plain(file: File) -> Iterator[str]:
    return split_passages(_decoded(file))


def _json_lines(file: File) -> Iterator[str]:
    field = _DEFAULT if file.field is None else file.field
    # Not splitlines, which would also split at Unicode line separators inside JSON strings.
    for number, line in enumerate(_decoded(file).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"'{file.path}' line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TextError(f"{where} is not JSON ({getattr(error, 'msg', error)}): give one object per line") from None
        if not isinstance(record, dict):
            raise TextError(f"{where} holds {shortened(record)}, not an object: give one object per line")
        if field not in record:
            raise _missing(where, "field", field, file, list(record))
        yield _string(record[field], where, field)


def _columns(file: File) -> list[str]:
    raw = _decoded(file)
    before = csv.field_size_limit(
        2**31 - 1
    )  # a passage may exceed the default; the setting is global, hence restored below
    try:
        return list(_cells(file, raw))
    finally:
        csv.field_size_limit(before)


def _cells(file: File, raw: str) -> Iterator[str]:
    reader = csv.reader(io.StringIO(raw, newline=""), strict=True)
    header: Sequence[str] | None = None
    column = 0
    while True:
        where = f"'{file.path}' line {reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise TextError(f"{where} is not CSV ({error}): correct it") from None
        if row is None:
            return
        if not row:  # a blank line is not a record
            continue
        if header is None:
            header, column = row, row.index(_column(file, row))
        elif len(row) == len(header):
            yield row[column]
        else:
            raise TextError(
                f"{where} has {len(row)} column{'' if len(row) == 1 else 's'} where the first line has "
                f"{len(header)}: quote texts that hold commas or line breaks"
            )


def _parquet(file: File) -> Iterator[str]:
    arrow, parquet = optional.load("pyarrow", file.path), optional.load("pyarrow.parquet", file.path)
    try:
        with parquet.ParquetFile(file.path) as opened:
            column = _column(file, opened.schema_arrow.names)
            number = 0
            for batch in opened.iter_batches(columns=[column]):
                for cell in batch.column(column):
                    number += 1
                    yield _cell(cell, f"'{file.path}' row {number}", column)
    except arrow.ArrowException as error:
        raise TextError(f"'{file.path}' is not a Parquet file that can be read ({error}): write it again") from None


def _cell(cell: Any, where: str, column: str) -> str:
    try:
        return _string(cell.as_py(), where, column)
    except UnicodeDecodeError:  # Parquet writers need not check that strings are UTF-8
        raise TextError(f"{where}: '{column}' is not UTF-8: correct this record") from None


def _column(file: File, columns: Sequence[str]) -> str:
    """Name of the column with the text: the one that the user named, else the only one, else ``text``.

    Raises:
        UsageError: there is no such column; or the only column's name looks like a passage or like several columns,
            which means that the header is missing or that the separator is not a comma.
    """
    if file.field is None and len(columns) == 1 and columns[0] != _DEFAULT:
        if re.search(r"[\n\t;]", columns[0]) or len(columns[0]) > _LONGEST_NAME:
            raise UsageError(
                f"'{file.path}' begins with {shortened(columns[0])}, which is not a column name: give it a header "
                f"line, such as '{_DEFAULT}', and commas between columns"
            )
        return columns[0]
    wanted = _DEFAULT if file.field is None else file.field
    if wanted not in columns:
        raise _missing(f"'{file.path}'", "column", wanted, file, columns)
    return wanted


def _missing(where: str, what: str, wanted: str, file: File, found: Sequence[str]) -> UsageError:
    if not found:
        return UsageError(f"{where} has no {what} '{wanted}', nor any other: check the file")
    names = [shortened(name)[1:-1] for name in found[:_LISTED]]
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return UsageError(
        f"{where} has no {what} '{wanted}', but {', '.join(names)}{more}: name the one that holds the text, as in "
        f"'{file.path}:{names[0]}'"
    )


def _string(value: object, where: str, field: str) -> str:
    if not isinstance(value, str):
        said = "null" if value is None else shortened(value)
        raise TextError(f"{where}: '{field}' is {said}, not a string: correct or remove this record")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON escapes can encode half a surrogate pair
        raise TextError(f"{where}: '{field}' holds half a surrogate pair: correct this record") from None
    return value


_READERS: Mapping[str, Callable[[File], Iterable[str]]] = {
    ".txt": _plain,
    ".jsonl": _json_lines,
    ".csv": _columns,
    ".parquet": _parquet,
}
