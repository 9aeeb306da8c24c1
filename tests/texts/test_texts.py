"""Texts: names, what is embedded, plain text cut into passages, and that nothing is lost without a count."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.errors import MoeClaimsError, TextError, UsageError
from moe_claims.texts import (
    BUILTIN,
    FEWEST_SEQUENCES,
    LONGEST_SEQUENCE,
    Sequences,
    Text,
    check_ids,
    check_name,
    load,
    read_token_ids,
    tokenize,
)


def _message(make: Callable[[], object], kind: type[MoeClaimsError]) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _file(folder: Path, content: str | bytes) -> str:
    path = folder / "text.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def _fewest_tokens(text: Text) -> int:
    """A lower bound for any tokenizer in use that splits words from punctuation before it merges.

    Byte-pair tokenizers of the GPT, Llama and Qwen kind never merge across words, nor a
    word with the punctuation after it; so there is a token for each at the least. The
    usual rule of thumb (four tokens for three English words) gives a third more.
    """
    return sum(len(re.findall(r"\w+|[^\w\s]+", passage)) for passage in text.passages)


def test_default_text_is_long_and_varied_enough() -> None:
    text = load("builtin")
    assert len(text.passages) >= 16
    assert _fewest_tokens(text) >= 4_000
    assert sum(len(passage.split()) for passage in text.passages) * 4 / 3 >= 4_000
    # Varied: most of the longer words of a passage appear in no other passage.
    words = [set(re.findall(r"[a-z]{6,}", passage.lower())) for passage in text.passages]
    for number, own in enumerate(words):
        others = set().union(*(w for n, w in enumerate(words) if n != number))
        assert len(own - others) > len(own) / 3


@pytest.mark.parametrize("name", BUILTIN)
def test_embedded_texts_load(name: str) -> None:
    text = load(name)
    assert text.name == name
    assert len(text.passages) >= 8
    assert len(set(text.passages)) == len(text.passages)
    assert all(passage == passage.strip() and "\f" not in passage for passage in text.passages)
    # A passage is a sequence: none may be so short that it says nothing, nor so long that it is cut.
    lengths = [_fewest_tokens(Text("one", (passage,))) for passage in text.passages]
    assert min(lengths) > 50 and max(lengths) < LONGEST_SEQUENCE


def test_mathematics_and_code_are_that() -> None:
    assert all(len(re.findall(r"[=+^/*]", passage)) > 5 for passage in load("builtin-math").passages)
    code = load("builtin-code")
    assert any("\n\n" in passage for passage in code.passages)  # form feeds part it, not blank lines
    assert sum(passage.count("\n") for passage in code.passages) > 150
    assert {load(name).sha256 for name in BUILTIN} == {load(name).sha256 for name in BUILTIN}
    assert len({load(name).sha256 for name in BUILTIN}) == 3


@pytest.mark.parametrize(
    ("content", "passages"),
    [
        ("one\n\ntwo", ("one", "two")),
        ("one\nstill one\n\n\n\n  two  \n\n", ("one\nstill one", "two")),
        ("one\r\nstill one\r\n\r\ntwo\r\n", ("one\nstill one", "two")),
        ("one\n \t\ntwo", ("one", "two")),  # a line of blanks is a blank line
        ("one\n\nstill one\ftwo\n\nstill two", ("one\n\nstill one", "two\n\nstill two")),
        ("one\r\n\r\nstill one\r\n\f\r\ntwo", ("one\n\nstill one", "two")),
        ("\f\fone\f \f two\f", ("one", "two")),
        ("\ufeffone\n\ntwo", ("one", "two")),  # some editors begin a file with this mark
        ("ein Ärgernis\n\nнесколько слов", ("ein Ärgernis", "несколько слов")),
    ],
)
def test_passages_of_a_file(content: str, passages: tuple[str, ...], tmp_path: Path) -> None:
    name = _file(tmp_path, content)
    text = load(name)
    assert text == Text(name, passages)
    assert text.sha256 == hashlib.sha256("\f".join(passages).encode()).hexdigest()


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\f\r\n"), max_size=20), max_size=8))
def test_any_lines_survive(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    wanted = tuple(stripped for line in lines if (stripped := line.removeprefix("\ufeff").strip()))
    name = _file(tmp_path_factory.mktemp("text"), "\n\n".join(line.removeprefix("\ufeff") for line in lines))
    if len(wanted) < FEWEST_SEQUENCES:
        assert "is too short" in _message(lambda: load(name), TextError)
    else:
        assert load(name).passages == wanted


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *((name, f"unknown text '{name}'") for name in ("bultin", "", "x" * 5000, ".txt", "a:b")),
        *(
            (name, f"there is no file '{name}'")
            for name in ("nowhere.txt", "~no-such-user-here/text.txt", "\0.txt", "x.json", "a/b", "C:\\texts\\a")
        ),
        ("x.jsonl:text", "there is no file 'x.jsonl'"),
        ("a.csv/x.Parquet:a:b", "there is no file 'a.csv/x.Parquet'"),
        (".", "'.' is a folder"),
        ("~", "'~' is a folder"),
    ],
)
def test_unknown_text(name: str, wrong: str) -> None:
    expected = (
        f"{wrong}: give builtin, builtin-math, builtin-code, wikitext103, gsm8k, magicoder, or a .txt, "
        ".jsonl[:FIELD], .csv[:COLUMN] or .parquet[:COLUMN] file"
    ).replace("\0", r"\x00")
    assert _message(lambda: check_name(name), UsageError) == expected
    assert _message(lambda: load(name), UsageError) == expected


@pytest.mark.parametrize("name", ["text.json", "text.jsonl.gz", "text.tsv", "text", ".txt"])
def test_other_kinds_of_files_are_refused_before_they_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff")
    expected = (
        f"'{path}' is not a supported kind of file: give a .txt, .jsonl[:FIELD], .csv[:COLUMN] or "
        ".parquet[:COLUMN] file"
    )
    assert _message(lambda: check_name(str(path)), UsageError) == expected
    assert _message(lambda: load(str(path)), UsageError) == expected


@pytest.mark.parametrize(("content", "found"), [("", "0 passages"), (" \n\n \f", "0 passages"), ("one", "1 passage")])
def test_too_few_passages(content: str, found: str, tmp_path: Path) -> None:
    name = _file(tmp_path, content)
    assert _message(lambda: load(name), TextError) == (
        f"'{name}' is too short: it has {found} and at least 2 are needed (16 or more for useful intervals); part "
        "passages with blank lines"
    )


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", '{"text": "one"}'), ("a.csv", "text\none\n"), ("a.JSONL", '{"text": "one"}')]
)
def test_one_record_is_too_few(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert _message(lambda: load(str(path)), TextError) == (
        f"'{path}' is too short: it has 1 passage and at least 2 are needed (16 or more for useful intervals); each "
        "record is a passage"
    )


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    name = _file(tmp_path, "caf\xe9\n\ntwo".encode("latin-1"))
    assert _message(lambda: load(name), TextError) == f"'{name}' is not UTF-8 (byte 3): convert it first"


def _letters(passage: str) -> list[int]:
    return [ord(letter) for letter in passage]


# The passage of one token is no sequence: it is left out and counts as cut.
TEXT = Text("t", ("abcdefgh", "x", "ijk", "lmnopq", ""))


def _tokens(limit: int | None, longest: int) -> Sequences:
    return tokenize(TEXT, _letters, limit=limit, longest=longest)


def _read(sequences: Sequences) -> list[str]:
    return ["".join(map(chr, sequence)) for sequence in sequences.ids]


@pytest.mark.parametrize(
    ("limit", "longest", "read", "cut"),
    [
        (None, 99, ["abcdefgh", "ijk", "lmnopq"], 1),
        (None, 8, ["abcdefgh", "ijk", "lmnopq"], 1),
        (None, 4, ["abcd", "ijk", "lmno"], 1 + 4 + 2),
        (None, 2, ["ab", "ij", "lm"], 1 + 6 + 1 + 4),
        (17, 99, ["abcdefgh", "ijk", "lmnopq"], 1),
        (13, 99, ["abcdefgh", "ijk", "lm"], 1 + 4),
        (12, 99, ["abcdefgh", "ijk"], 1),  # one token alone would be no sequence
        (11, 99, ["abcdefgh", "ijk"], 1),
        (10, 99, ["abcdefgh", "ij"], 1 + 1),
        (6, 4, ["abcd", "ij"], 1 + 4 + 1),
    ],
)
def test_limit_and_longest_cut_and_count(limit: int | None, longest: int, read: list[str], cut: int) -> None:
    sequences = _tokens(limit, longest)
    assert _read(sequences) == read
    assert sequences.tokens == sum(map(len, read))
    assert sequences.tokens_cut == cut
    assert limit is None or sequences.tokens <= limit
    assert (sequences.name, sequences.passages, sequences.source_sha256) == ("t", 5, TEXT.sha256)


def test_source_and_revision_travel_along() -> None:
    assert (_tokens(None, 99).source, _tokens(None, 99).revision) == (None, None)
    text = Text("t", TEXT.passages, "org/name/file.parquet", "0" * 40)
    sequences = tokenize(text, _letters, limit=None, longest=99)
    assert (sequences.source, sequences.revision) == (text.source, text.revision)
    assert (text.sha256, sequences.ids) == (TEXT.sha256, _tokens(None, 99).ids)


def test_longest_is_bounded_for_every_model() -> None:
    text = Text("t", ("a" * 700, "b" * 10))
    sequences = tokenize(text, _letters, limit=None, longest=100_000)
    assert [len(sequence) for sequence in sequences.ids] == [LONGEST_SEQUENCE, 10]
    assert sequences.tokens_cut == 700 - LONGEST_SEQUENCE


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=8),
    st.one_of(st.none(), st.integers(0, 60)),
    st.integers(2, 40),
)
def test_every_token_is_kept_cut_or_left_out(lengths: list[int], limit: int | None, longest: int) -> None:
    # Two passages that any limit of four tokens leaves room for; the rest is whatever comes.
    text = Text("t", ("aa", "aa", *("a" * length for length in lengths)))
    lengths, limit = [2, 2, *lengths], None if limit is None else limit + 4
    sequences = tokenize(text, _letters, limit=limit, longest=longest)
    assert len(sequences.ids) >= FEWEST_SEQUENCES
    assert all(2 <= len(sequence) <= longest for sequence in sequences.ids)
    assert limit is None or sequences.tokens <= limit
    # Passages are read in order up to some point, and of those read every token is kept or counted as cut.
    assert sequences.tokens + sequences.tokens_cut in {sum(lengths[:end]) for end in range(2, len(lengths) + 1)}
    if limit is None:
        assert sequences.tokens + sequences.tokens_cut == sum(lengths)
        assert len(sequences.ids) == sum(length >= 2 for length in lengths)


@pytest.mark.parametrize(
    ("limit", "longest", "message"),
    [
        (9, 99, "it gives 1 sequence of two tokens or more, and at least 2 are needed (--moe-tokens is 9)"),
        (1, 99, "it gives 0 sequences of two tokens or more, and at least 2 are needed (--moe-tokens is 1)"),
        (None, 1, "it gives 0 sequences of two tokens or more, and at least 2 are needed"),
    ],
)
def test_too_short_for_the_token_limit(limit: int | None, longest: int, message: str) -> None:
    assert _message(lambda: _tokens(limit, longest), TextError) == f"'t' is too short: {message}"


def test_hash_of_token_ids_sees_order_and_borders() -> None:
    def sha256(ids: tuple[tuple[int, ...], ...]) -> str:
        return Sequences("t", ids, None, len(ids), 0).sha256

    assert sha256(((1, 2), (3, 4))) == sha256(((1, 2), (3, 4)))
    assert len({sha256(ids) for ids in (((1, 2), (3, 4)), ((3, 4), (1, 2)), ((1, 2, 3), (4,)), ((1, 2), (3, 5)))}) == 4


def test_token_ids_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text("[[1, 2, 3], [4, 0]]")
    assert read_token_ids(path) == ((1, 2, 3), (4, 0))


@pytest.mark.parametrize(
    "content",
    [[], {}, 3, [[]], [[1]], [[1, 2], [3]], [[1, -2]], [[1, 2.5]], [[1, True]], [["a", "b"]], [1, 2], [[1, [2]]]],
    ids=json.dumps,
)
def test_token_ids_that_are_none(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text(json.dumps(content))
    expected = f"'{path}' must hold a JSON list of lists of at least two token ids (whole numbers) each"
    assert _message(lambda: read_token_ids(path), UsageError) == expected


def test_token_ids_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    expected = f"there is no file '{path}': --token-ids takes a JSON list of lists of token ids"
    assert _message(lambda: read_token_ids(path), UsageError) == expected
    path.write_text("[[1, 2]")
    assert _message(lambda: read_token_ids(path), UsageError).startswith(f"'{path}' is not JSON: ")
    path.write_bytes(b"\xff")
    assert _message(lambda: read_token_ids(path), UsageError).startswith(f"'{path}' is not JSON: ")


@given(st.lists(st.lists(st.integers(-2, 12), min_size=1, max_size=5), max_size=5))
def test_ids_are_within_the_vocabulary_or_said(ids: list[list[int]]) -> None:
    wrong = [(number, token) for number, s in enumerate(ids, start=1) for token in s if not 0 <= token < 10]
    if not wrong:
        check_ids(ids, 10, "'ids.json'")
        return
    message = _message(lambda: check_ids(ids, 10, "'ids.json'"), UsageError)
    said = re.fullmatch(
        r"'ids\.json' holds token id (-?\d+), but the last of the model is 9 \(sequence (\d+)\): use the model's own "
        "tokenizer",
        message,
    )
    assert said is not None
    assert (int(said[2]), int(said[1])) in wrong
    assert int(said[2]) == min(number for number, _ in wrong)
