"""Texts from files: which file a name means, and the passages that it holds."""

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
"""What is read, as messages and help texts name it."""

_DEFAULT = "text"
_SPLIT = re.compile(r"\.(?:jsonl|csv|parquet)(:)", re.IGNORECASE)
_LONGEST_NAME = 100
"""Characters; what is longer, in the first line of a .csv file, names no column."""
_LISTED = 12
"""Fields that a message lists at the most."""


@final
@dataclass(frozen=True)
class File:
    """A file as a name meant it."""

    path: str
    field: str | None
    """Field or column that holds the text; None where the name gave none."""

    @property
    def suffix(self) -> str:
        """Lower-case suffix, which tells the kind."""
        return os.path.splitext(self.path)[1].lower()  # noqa: PTH122 - pathlib raises for a name with a NUL


def find(name: str) -> File | None:
    """The file that a name means, or None.

    A path that exists as it stands wins; a colon parts path and field only after one of the suffixes, so that neither
    a drive letter nor a colon in a folder's name is mistaken for it.
    """
    colons = [match.start(1) for match in _SPLIT.finditer(name)]
    for path, field in [(name, None), *((name[:colon], name[colon + 1 :]) for colon in colons)]:
        # os.path answers False where pathlib raises: an unknown ~user, a name too long for the file system.
        expanded = os.path.expanduser(path)  # noqa: PTH111
        if os.path.isfile(expanded):  # noqa: PTH113
            return File(expanded, field)
    return None


def check(file: File) -> None:
    """Whether files of this kind can be read, without opening it.

    Raises:
        UsageError: it is of another kind, or of one whose library is not installed.
    """
    if file.suffix not in _READERS:
        raise UsageError(f"'{file.path}' is none of the files that are read: give a {KINDS} file")
    if file.suffix == ".parquet":
        optional.check("pyarrow", file.path)


def passages(file: File) -> tuple[str, ...]:
    """What a file holds: parts of a .txt, records of the others. Those of white space alone are left out.

    Raises:
        UsageError: the file cannot be opened, or has no such field or column.
        TextError: it is not UTF-8, or a record is not what its kind of file holds; the message names the line or row.
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


def parted(raw: str) -> Iterator[str]:
    """Passages of plain text, which stand between form feeds, or else between blank lines."""
    raw = raw.replace("\r\n", "\n")
    # A form feed parts passages that hold blank lines themselves, such as source code.
    for piece in raw.split("\f") if "\f" in raw else re.split(r"\n[ \t]*\n", raw):
        if stripped := piece.strip():
            yield stripped


def _plain(file: File) -> Iterator[str]:
    return parted(_decoded(file))


def _json_lines(file: File) -> Iterator[str]:
    field = _DEFAULT if file.field is None else file.field
    # Not splitlines: JSON strings may hold separators that it would cut at.
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
    before = csv.field_size_limit(2**31 - 1)  # one setting for the whole process; a passage may exceed its default
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
        if not row:  # a blank line is no record
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
    except UnicodeDecodeError:  # Parquet writers need not check what they write
        raise TextError(f"{where}: '{column}' is not UTF-8: correct this record") from None


def _column(file: File, columns: Sequence[str]) -> str:
    """The column that was named; or ``text``; or the only one.

    Raises:
        UsageError: there is no such column; or the only one has a passage or several columns for a name, as where
            the header was left out or another sign than the comma parts columns.
    """
    if file.field is None and len(columns) == 1 and columns[0] != _DEFAULT:
        if re.search(r"[\n\t;]", columns[0]) or len(columns[0]) > _LONGEST_NAME:
            raise UsageError(
                f"'{file.path}' begins with {shortened(columns[0])}, which names no column: give it a first line "
                f"that does, such as '{_DEFAULT}', and commas between columns"
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
    except UnicodeEncodeError:  # JSON may escape half of a character
        raise TextError(f"{where}: '{field}' holds half a surrogate pair: correct this record") from None
    return value


_READERS: Mapping[str, Callable[[File], Iterable[str]]] = {
    ".txt": _plain,
    ".jsonl": _json_lines,
    ".csv": _columns,
    ".parquet": _parquet,
}
