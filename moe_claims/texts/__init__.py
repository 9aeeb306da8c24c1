"""Texts: samples of sequences, embedded, published or from a file. The sequence is the exchangeable unit.

Imports nothing heavy; tokenizing happens where a tokenizer is.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import final

from moe_claims.errors import TextError, UsageError
from moe_claims.texts import files, published

BUILTIN = ("builtin", "builtin-math", "builtin-code")
"""Texts inside the package: prose, worked mathematics, and source code."""
PUBLISHED = tuple(published.CORPORA)
"""Texts of the hub, which need the extra ``data``."""
CHOICES = f"{', '.join((*BUILTIN, *PUBLISHED))}, or a {files.KINDS} file"
"""All that ``--moe-text`` takes, for messages and help."""

LONGEST = 512
"""Sequences are cut to this many tokens; what was cut off is counted and reported."""
FEWEST = 2
"""A text of fewer sequences says nothing about other text of its kind."""


@final
@dataclass(frozen=True)
class Text:
    """Passages that stand for other text of the same kind."""

    name: str
    passages: tuple[str, ...]
    source: str | None = None
    """Repository and file of a published text."""
    revision: str | None = None
    """SHA of the commit of that repository."""

    @property
    def sha256(self) -> str:
        """Hash of the passages, in order."""
        return hashlib.sha256("\f".join(self.passages).encode()).hexdigest()


@final
@dataclass(frozen=True)
class Sequences:
    """A text as one model reads it: token ids, one list per sequence, used exactly as they are."""

    name: str
    ids: tuple[tuple[int, ...], ...]
    source_sha256: str | None
    """Hash of the text, or None for token ids that came as such."""
    passages: int
    """Passages that the text has; more than ``len(ids)`` when a token limit left some out."""
    tokens_cut: int
    """Tokens left out: beyond the longest sequence, or in passages of a single token."""
    source: str | None = None
    """Repository and file of a published text."""
    revision: str | None = None
    """SHA of the commit of that repository."""

    @property
    def tokens(self) -> int:
        """Number T of tokens."""
        return sum(len(sequence) for sequence in self.ids)

    @property
    def sha256(self) -> str:
        """Hash of the token ids, in order."""
        return hashlib.sha256(repr(self.ids).encode()).hexdigest()


def check_name(name: str) -> None:
    """Whether a text can be had under this name, without reading it.

    Raises:
        UsageError: it is neither embedded, nor published, nor a file of a kind that is read; or it needs a library
            that is not installed.
    """
    if name in PUBLISHED:
        published.check(name)
    elif name not in BUILTIN:
        files.check(_file(name))


def load(name: str) -> Text:
    """An embedded text, a published one, or what a file holds.

    Raises:
        UsageError: there is no such text, field or column, or it cannot be had.
        TextError: the file is not what its suffix says, or holds fewer than two passages.
    """
    check_name(name)
    text = _read(name)
    if len(text.passages) < FEWEST:
        remedy = "part passages with blank lines" if name.lower().endswith(".txt") else "each record is a passage"
        raise TextError(
            f"'{name}' is too short: it has {len(text.passages)} passage{'' if len(text.passages) == 1 else 's'} and "
            f"at least {FEWEST} are needed (16 or more for useful intervals); {remedy}"
        )
    return text


def _file(name: str) -> files.File:
    file = files.find(name)
    if file is None:
        raise UsageError(f"unknown text '{name}': give {CHOICES}")
    return file


def _read(name: str) -> Text:
    if name in BUILTIN:
        raw = (resources.files("moe_claims.texts") / "data" / f"{name}.txt").read_text(encoding="utf-8")
        return Text(name, tuple(files.parted(raw)))
    if name in PUBLISHED:
        corpus = published.CORPORA[name]
        return Text(name, published.passages(name), corpus.source, corpus.revision)
    return Text(name, files.passages(_file(name)))


def tokenize(text: Text, encode: Callable[[str], Sequence[int]], *, limit: int | None, longest: int) -> Sequences:
    """A text as token ids: whole passages in order until ``limit`` tokens are reached.

    Args:
        text: the passages.
        encode: the model's tokenizer, special tokens included.
        limit: at most this many tokens (the last sequence is cut to fit); None for all.
        longest: the model's longest sequence; longer passages are cut to it.

    Raises:
        TextError: fewer than two sequences of two tokens come out.
    """
    longest = min(longest, LONGEST)
    ids: list[tuple[int, ...]] = []
    cut = used = 0
    for passage in text.passages:
        tokens = tuple(encode(passage))
        room = longest if limit is None else min(longest, limit - used)
        if room < 2:
            break
        if len(tokens) < 2:  # nothing could be predicted in it
            cut += len(tokens)
            continue
        cut += max(0, len(tokens) - room)
        ids.append(tokens[:room])
        used += len(ids[-1])
    if len(ids) < FEWEST:
        raise TextError(
            f"'{text.name}' is too short: it gives {len(ids)} sequence{'' if len(ids) == 1 else 's'} of two tokens or "
            f"more, and at least {FEWEST} are needed" + ("" if limit is None else f" (--moe-tokens is {limit})")
        )
    return Sequences(text.name, tuple(ids), text.sha256, len(text.passages), cut, text.source, text.revision)


def check_ids(ids: Iterable[Sequence[int]], vocabulary: int, who: str) -> None:
    """Whether a model knows every token id.

    Args:
        ids: token ids, one list per sequence.
        vocabulary: how many it knows.
        who: what holds the ids, such as ``'ids.json'`` or ``'builtin' as 'mixtral' reads it``.

    Raises:
        UsageError: an id is negative or beyond the last; the message names the sequence, counted from 1.
    """
    for number, sequence in enumerate(ids, start=1):
        for wrong in (min(sequence), max(sequence)):
            if not 0 <= wrong < vocabulary:
                raise UsageError(
                    f"{who} holds token id {wrong}, but the last of the model is {vocabulary - 1} (sequence {number}): "
                    "use the model's own tokenizer"
                )


def read_token_ids(path: Path) -> tuple[tuple[int, ...], ...]:
    """Token ids from a JSON file: one list per sequence.

    Raises:
        UsageError: the file is missing, or holds something else.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}': --token-ids takes a JSON list of lists of token ids") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is not JSON: {error}") from None
    good = isinstance(loaded, list) and loaded and all(isinstance(s, list) and len(s) >= 2 for s in loaded)
    if not good or not all(type(token) is int and token >= 0 for s in loaded for token in s):
        raise UsageError(f"'{path}' must hold a JSON list of lists of at least two token ids (whole numbers) each")
    return tuple(tuple(sequence) for sequence in loaded)
