"""Texts: samples of sequences, embedded or from a file. The sequence is the exchangeable unit.

Imports nothing heavy; tokenizing happens where a tokenizer is.
"""

import hashlib
import json
import os.path
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import final

from moe_claims.errors import TextError, UsageError

BUILTIN = ("builtin", "builtin-math", "builtin-code")
"""Texts inside the package: prose, worked mathematics, and source code."""

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
        UsageError: it is neither embedded nor a file.
    """
    # os.path answers False where pathlib raises: an unknown ~user, a name too long for the file system.
    if name not in BUILTIN and not os.path.isfile(os.path.expanduser(name)):  # noqa: PTH111, PTH113
        raise UsageError(f"unknown text '{name}': give {', '.join(BUILTIN)}, or the path of a .txt file")


def load(name: str) -> Text:
    """An embedded text, or a UTF-8 file whose passages are parted by blank lines or form feeds.

    Raises:
        UsageError: there is no such text.
        TextError: the file is not UTF-8, or holds fewer than two passages.
    """
    check_name(name)
    if name in BUILTIN:
        raw = (files("moe_claims.texts") / "data" / f"{name}.txt").read_text(encoding="utf-8")
    else:
        try:
            raw = Path(name).expanduser().read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TextError(f"'{name}' is not UTF-8 (byte {error.start}): convert it first") from None
    # A form feed parts passages that hold blank lines themselves, such as source code.
    raw = raw.replace("\r\n", "\n")
    pieces = raw.split("\f") if "\f" in raw else re.split(r"\n[ \t]*\n", raw)
    passages = tuple(stripped for piece in pieces if (stripped := piece.strip()))
    if len(passages) < FEWEST:
        raise TextError(
            f"'{name}' is too short: it has {len(passages)} passage{'' if len(passages) == 1 else 's'} and at least "
            f"{FEWEST} are needed (16 or more for useful intervals); part passages with blank lines"
        )
    return Text(name, passages)


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
    return Sequences(text.name, tuple(ids), text.sha256, len(text.passages), cut)


def read_token_ids(path: Path) -> tuple[tuple[int, ...], ...]:
    """Token ids from a JSON file: one list per sequence.

    Raises:
        UsageError: the file is missing, or holds something else.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}': --token-ids takes a JSON list of lists of token ids") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' is not JSON: {error}") from None
    good = isinstance(loaded, list) and loaded and all(isinstance(s, list) and len(s) >= 2 for s in loaded)
    if not good or not all(type(token) is int and token >= 0 for s in loaded for token in s):
        raise UsageError(f"'{path}' must hold a JSON list of lists of at least two token ids (whole numbers) each")
    return tuple(tuple(sequence) for sequence in loaded)
