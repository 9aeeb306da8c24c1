"""Records of .jsonl, .csv and .parquet files: each is a passage, none is lost, and what is wrong is named."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims._util.optional import install_command
from moe_claims.errors import MoeClaimsError, TextError, UsageError
from moe_claims.texts import check_name, files, load

KINDS = ("jsonl", "csv", "parquet")
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


def _write(path: Path, columns: dict[str, list[str]]) -> str:
    """Columns in whatever kind of file the suffix names, by writers that are not this package's."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
        return str(path)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    with path.open("w", encoding="utf-8", newline="") as out:
        if path.suffix == ".jsonl":
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            # Unquoted, the stdlib's writer leaves a carriage return in a text of its own kind of line break.
            writer = csv.DictWriter(out, list(columns), quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def _read(name: str) -> tuple[str, ...]:
    file = files.find(name)
    assert file is not None
    files.check(file)
    return files.passages(file)


def _message(make: Callable[[], object], kind: type[MoeClaimsError]) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


TEXTS = [
    "  def f():\n    return 1\n",
    "",
    'ein Ärgernis,\r\n\r\nein "zweites"',
    " \n\t",
    "a\fb\u2028c\x85d",
    "x" * 200_000,
]
KEPT = tuple(TEXTS[i] for i in (0, 2, 4, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", [None, "text", "say: it"])
def test_records_are_passages_as_they_are(kind: str, field: str | None, tmp_path: Path) -> None:
    name = _write(tmp_path / f"t.{kind}", {"id": list("abcdef"), field or "text": TEXTS})
    named = name if field is None else f"{name}:{field}"
    text = load(named)
    assert (text.name, text.passages, text.source, text.revision) == (named, KEPT, None, None)


@given(st.sampled_from(KINDS), st.lists(st.tuples(WORDS, WORDS), max_size=6))
def test_any_records_survive(
    tmp_path_factory: pytest.TempPathFactory, kind: str, records: list[tuple[str, str]]
) -> None:
    columns = {"one": [one for one, _ in records], "two": [two for _, two in records]}
    name = _write(tmp_path_factory.mktemp("files") / f"t.{kind}", columns)
    for column, values in columns.items():
        assert _read(f"{name}:{column}") == tuple(value for value in values if value.strip())


def test_limit_of_the_csv_module_is_given_back(tmp_path: Path) -> None:
    name = _write(tmp_path / "t.csv", {"text": ["x" * 1_000, "y"]})
    usual = csv.field_size_limit(100)
    try:
        assert [len(text) for text in _read(name)] == [1_000, 1]
        assert csv.field_size_limit() == 100
        _message(lambda: _read(f"{name}:no"), UsageError)
        assert csv.field_size_limit() == 100
    finally:
        csv.field_size_limit(usual)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_only_column_needs_no_name(kind: str, tmp_path: Path) -> None:
    assert _read(_write(tmp_path / f"t.{kind}", {"question": ["one", "two"]})) == ("one", "two")


def test_colon_parts_path_and_field_only_where_no_such_file_is(tmp_path: Path) -> None:
    folder = tmp_path / "C:b.csv:d"
    folder.mkdir()
    name = _write(folder / "t.CSV", {"a": ["1", "2"], "b.csv:c": ["3", "4"]})
    assert files.find(f"{name}:b.csv:c") == files.File(name, "b.csv:c")
    assert _read(f"{name}:b.csv:c") == ("3", "4")
    exact = folder / "t.csv:a"
    exact.write_text("")
    assert files.find(str(exact)) == files.File(str(exact), None)
    assert files.find(f"{folder}/none.csv:a") is None
    assert files.find(f"{tmp_path}/t.txt:text") is None


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    _write(tmp_path / "t.jsonl", {"a": ["one", "two"]})
    assert load("~/t.jsonl:a").passages == ("one", "two")


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_mark_and_blank_lines_are_no_records(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{kind}"
    lines = ["", "text", "", "one", "two", ""] if kind == "csv" else ["", '{"text":"one"}', " ", '{"text":"two"}', ""]
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    assert _read(str(path)) == ("one", "two")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", [None, "answers", ""])
def test_missing_field_lists_those_that_there_are(kind: str, field: str | None, tmp_path: Path) -> None:
    name = _write(tmp_path / f"t.{kind}", {"question": ["one", "two"], "answer": ["1", "2"]})
    where, what = (f"'{name}' line 1", "field") if kind == "jsonl" else (f"'{name}'", "column")
    named = name if field is None else f"{name}:{field}"
    assert _message(lambda: load(named), UsageError) == (
        f"{where} has no {what} '{'text' if field is None else field}', but question, answer: name the one that holds "
        f"the text, as in '{name}:question'"
    )


def test_long_lists_of_fields_are_cut(tmp_path: Path) -> None:
    name = _write(tmp_path / "t.csv", {f"c{i}": ["x"] for i in range(40)} | {"y" * 90: ["x"]})
    message = _message(lambda: load(name), UsageError)
    assert message.endswith(f"c10, c11 and 29 more: name the one that holds the text, as in '{name}:c0'")


def test_missing_field_of_a_later_record(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "one"}\n\n{"txt": "two"}\n{}')
    expected = f"'{path}' line 3 has no field 'text', but txt: name the one that holds the text, as in '{path}:txt'"
    assert _message(lambda: load(str(path)), UsageError) == expected
    path.write_text('{"text": "one"}\n{}')
    expected = f"'{path}' line 2 has no field 'text', nor any other: check the file"
    assert _message(lambda: load(str(path)), UsageError) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "one"', " is not JSON (Expecting ',' delimiter): give one object per line"),
        ("one", " is not JSON (Expecting value): give one object per line"),
        ('["one"]', " holds ['one'], not an object: give one object per line"),
        ('"one"', " holds 'one', not an object: give one object per line"),
        ('{"text": null}', ": 'text' is null, not a string: correct or remove this record"),
        ('{"text": 3.5}', ": 'text' is 3.5, not a string: correct or remove this record"),
        ('{"text": ["one"]}', ": 'text' is ['one'], not a string: correct or remove this record"),
        ('{"text": "one \\ud83d"}', ": 'text' holds half a surrogate pair: correct this record"),
    ],
)
def test_wrong_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"text": "first"}}\n\n{line}\n')
    assert _message(lambda: load(str(path)), TextError) == f"'{path}' line 3{said}"


def test_line_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("[" * 100_000)
    message = _message(lambda: load(str(path)), TextError)
    assert message.startswith(f"'{path}' line 1 is not JSON (maximum recursion depth exceeded")


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (
            "text,id\none,1\ntwo\n",
            3,
            "has 1 column where the first line has 2: quote texts that hold commas or line breaks",
        ),
        (
            "text,id\n\none, or more,1\n",
            3,
            "has 3 columns where the first line has 2: quote texts that hold commas or line breaks",
        ),
        ('text\n"one\n\nstill one"\n"two', 5, "is not CSV (unexpected end of data): correct it"),
        ('text\n"one" and more\n', 2, "is not CSV (',' expected after '\"'): correct it"),
    ],
)
def test_wrong_row_of_a_csv_file_is_named(content: str, line: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, newline="")
    # Blank lines before a record count as its own.
    found = _message(lambda: load(str(path)), TextError)
    assert found == f"'{path}' line {line} {message}"


@pytest.mark.parametrize("first", ["A passage\nof two lines", "word " * 30, "text;id", "text\tid"])
def test_first_line_that_is_no_header_is_not_lost(first: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'"{first}"\none\ntwo\n')
    message = _message(lambda: load(str(path)), UsageError)
    assert message.startswith(f"'{path}' begins with ")
    assert message.endswith("is not a column name: give it a header line, such as 'text', and commas between columns")


@pytest.mark.parametrize(("values", "said"), [(["one", None], "null"), ([1, 2], "1"), ([["one"], ["two"]], "['one']")])
def test_wrong_row_of_a_parquet_file_is_named(values: list[Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": values}), path)
    row = 2 if said == "null" else 1
    expected = f"'{path}' row {row}: 'text' is {said}, not a string: correct or remove this record"
    assert _message(lambda: load(str(path)), TextError) == expected


def test_row_of_a_parquet_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    broken = pa.array([b"one", b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"text": broken}), path)
    expected = f"'{path}' row 2: 'text' is not UTF-8: correct this record"
    assert _message(lambda: load(str(path)), TextError) == expected


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.string_view()])
def test_strings_of_every_kind(kind: pa.DataType, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a.b": pa.array(["one", "two", "one"], kind)}), path, row_group_size=2)
    assert _read(f"{path}:a.b") == ("one", "two", "one")


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", "cut"])
def test_file_that_is_not_parquet(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    _write(path, {"text": ["one", "two"]})
    path.write_bytes(content if isinstance(content, bytes) else path.read_bytes()[:-20])
    message = _message(lambda: load(str(path)), TextError)
    assert message.startswith(f"'{path}' is not a Parquet file that can be read (")
    assert message.endswith("): write it again")


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv"])
def test_file_that_is_not_utf8(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"text\ncaf\xe9")
    assert _message(lambda: load(str(path)), TextError) == f"'{path}' is not UTF-8 (byte 8): convert it first"


@pytest.mark.parametrize("name", ["t.txt", "t.jsonl", "t.csv", "t.parquet"])
def test_file_that_cannot_be_opened(name: str, tmp_path: Path) -> None:
    # Gone between the check of its name and its reading.
    file = files.File(str(tmp_path / name), None)
    message = _message(lambda: files.passages(file), UsageError)
    assert message.startswith(f"'{file.path}' cannot be read (") and message.endswith("): check the file")


def test_parquet_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = _write(tmp_path / "t.parquet", {"text": ["one", "two"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    expected = f"'{name}' needs the library 'pyarrow', which is not installed: {install_command('data')}"
    assert _message(lambda: check_name(f"{name}:text"), UsageError) == expected
    assert _message(lambda: load(name), UsageError) == expected
