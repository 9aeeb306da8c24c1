"""Loads texts (embedded, published or from a file) and turns them into sequences of token ids.

Sequences are the exchangeable units of every claim about behaviour. This module imports nothing heavy; the caller
supplies the tokenizer.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, final

from moe_claims.errors import TextError, UsageError
from moe_claims.texts import corpora, files

BUILTIN = ("builtin", "builtin-math", "builtin-code")
"""Names of the texts inside the package: prose, worked mathematics, and source code."""
PUBLISHED = tuple(corpora.CORPORA)
"""Names of texts on the Hugging Face hub; reading them needs the extra ``data``."""
CHOICES = f"{', '.join((*BUILTIN, *PUBLISHED))}, or a {files.KINDS} file"
"""Description of everything that ``--moe-text`` takes, for messages and help."""

LONGEST_SEQUENCE = 512
"""Tokens that a sequence is cut to; the number of tokens cut off is reported."""
FEWEST_SEQUENCES = 2
"""Fewest sequences of a usable text: variation between sequences cannot be estimated from one."""


@final
@dataclass(frozen=True)
class Text:
    """A text as a list of passages: a sample of text of its kind."""

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
    """A text as token ids of one model's tokenizer: one tuple per sequence, used exactly as given."""

    name: str
    ids: tuple[tuple[int, ...], ...]
    source_sha256: str | None
    """Hash of the text; None if the user gave token ids instead of a text."""
    passages: int
    """Number of passages in the text; more than ``len(ids)`` if a token limit excluded some."""
    tokens_cut: int
    """Number of tokens dropped: beyond the longest sequence, or in passages of a single token."""
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
    """Checks that a name stands for a text that can be read, without reading it.

    Raises:
        UsageError: the name is neither an embedded nor a published text nor a file of a supported kind; or reading
            the text needs a library that is not installed.
    """
    if name in PUBLISHED:
        corpora.check(name)
    elif name not in BUILTIN:
        files.check(_file(name))


def load(name: str) -> Text:
    """Reads a text by name: an embedded text, a published one, or a file.

    Raises:
        UsageError: there is no such text, field or column, or the text can neither be found nor downloaded.
        TextError: the content of the file does not match its suffix, or the text has fewer than two passages.
    """
    check_name(name)
    text = _read(name)
    if len(text.passages) < FEWEST_SEQUENCES:
        remedy = "part passages with blank lines" if name.lower().endswith(".txt") else "each record is a passage"
        raise TextError(
            f"'{name}' is too short: it has {len(text.passages)} passage{'' if len(text.passages) == 1 else 's'} and "
            f"at least {FEWEST_SEQUENCES} are needed (16 or more for useful intervals); {remedy}"
        )
    return text


def _file(name: str) -> files.File:
    file = files.find(name)
    if file is None:
        raise UsageError((files.missing(name) or f"unknown text '{name}'") + f": give {CHOICES}")
    return file


def _read(name: str) -> Text:
    if name in BUILTIN:
        raw = (resources.files("moe_claims.texts") / "data" / f"{name}.txt").read_text(encoding="utf-8")
        return Text(name, tuple(files.split_passages(raw)))
    if name in PUBLISHED:
        corpus = corpora.CORPORA[name]
        return Text(name, corpora.passages(name), corpus.source, corpus.revision)
    return Text(name, files.passages(_file(name)))


def tokenize(text: Text, encode: Callable[[str], Sequence[int]], *, limit: int | None, longest: int) -> Sequences:
    """Tokenizes the passages of a text in order, one sequence per passage, until ``limit`` tokens are reached.

    Args:
        text: the passages.
        encode: the model's tokenizer; it adds special tokens itself.
        limit: at most this many tokens (the last sequence is cut to fit); None for all.
        longest: longest sequence that the model takes; longer passages are cut to it.

    Raises:
        TextError: the text yields fewer than two sequences of at least two tokens.
    """
    longest = min(longest, LONGEST_SEQUENCE)
    ids: list[tuple[int, ...]] = []
    cut = used = 0
    for passage in text.passages:
        tokens = tuple(encode(passage))
        room = longest if limit is None else min(longest, limit - used)
        if room < 2:
            break
        if len(tokens) < 2:  # a single token leaves nothing to predict
            cut += len(tokens)
            continue
        cut += max(0, len(tokens) - room)
        ids.append(tokens[:room])
        used += len(ids[-1])
    if len(ids) < FEWEST_SEQUENCES:
        raise TextError(
            f"'{text.name}' is too short: it gives {len(ids)} sequence{'' if len(ids) == 1 else 's'} of two tokens or "
            f"more, and at least {FEWEST_SEQUENCES} are needed"
            + ("" if limit is None else f" (--moe-tokens is {limit})")
        )
    return Sequences(text.name, tuple(ids), text.sha256, len(text.passages), cut, text.source, text.revision)


def check_ids(ids: Iterable[Sequence[int]], vocabulary: int, who: str) -> None:
    """Checks that a model knows every token id.

    Args:
        ids: token ids, one list per sequence.
        vocabulary: number of ids that it knows.
        who: origin of the ids for the message, such as ``'ids.json'`` or ``'builtin' as 'mixtral' reads it``.

    Raises:
        UsageError: an id is negative, or not below ``vocabulary``; the message names the sequence, counted from 1.
    """
    for number, sequence in enumerate(ids, start=1):
        for wrong in (min(sequence), max(sequence)):
            if not 0 <= wrong < vocabulary:
                raise UsageError(
                    f"{who} holds token id {wrong}, but the last of the model is {vocabulary - 1} (sequence {number}): "
                    "use the model's own tokenizer"
                )


def read_token_ids(path: Path) -> tuple[tuple[int, ...], ...]:
    """Reads token ids from a JSON file: a list with one list per sequence.

    Raises:
        UsageError: the file is missing, or is not a JSON list of lists of at least two token ids.
    """
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no file '{path}': --token-ids takes a JSON list of lists of token ids") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{path}' is not JSON: {error}") from None
    ids = as_token_ids(loaded)
    if ids is None:
        raise UsageError(f"'{path}' must hold a JSON list of lists of at least two token ids (whole numbers) each")
    return ids


def as_token_ids(given: Any) -> tuple[tuple[int, ...], ...] | None:
    """Token ids given as a list with one list per sequence; None if it is no list of lists of at least two ids."""
    good = isinstance(given, list) and given and all(isinstance(s, list) and len(s) >= 2 for s in given)
    if not good or not all(type(token) is int and token >= 0 for s in given for token in s):
        return None
    return tuple(tuple(sequence) for sequence in given)
