"""Reads training text: documents of a plain text file, or articles of a Wikipedia dump without markup."""

import gzip
import html
import re
from collections.abc import Iterator
from pathlib import Path

from moe_claims.errors import TextError

_ARTICLE = re.compile(r"<text[^>]*>(.*?)</text>", re.DOTALL)
_INNERMOST = (re.compile(r"\{\{[^{}]*\}\}"), re.compile(r"\{\|[^{}]*\|\}"))
_RULES = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"<!--.*?-->", ""),
        (r"<(ref|math|gallery|table|pre|code)\b[^>/]*>.{0,4000}?</\1>", ""),
        (r"<[^<>\n]{1,200}>", ""),
        (r"\[\[(?:[a-z-]{2,12}|image|file|category):[^\[\]]*(?:\[\[[^\[\]]*\]\][^\[\]]*)*\]\]", ""),
        (r"\[\[[^\[\]|]*\|([^\[\]]*)\]\]", r"\1"),
        (r"\[\[([^\[\]]*)\]\]", r"\1"),
        (r"\[\w+://\S+\s([^\]]*)\]", r"\1"),
        (r"\[\w+://\S+\]", ""),
        (r"'{2,}", ""),
        (r"(?m)^[ \t]*[*#:;|!][^\n]*$", ""),
        (r"(?m)^=+[ \t]*([^\n]*?)[ \t]*=+[ \t]*$", r"\1"),
        (r"[ \t]+", " "),
        (r"\n\s*\n+", "\n\n"),
    )
)
SHORTEST = 400
"""Shortest document in characters; shorter ones, such as redirects and stubs, are dropped."""


def _prose(markup: str) -> str:
    """Converts Wikipedia markup to plain text; templates, tables and lists are dropped."""
    text = html.unescape(html.unescape(markup))
    for pattern in _INNERMOST:
        for _ in range(6):  # templates are nested; six levels remove nearly all
            text, found = pattern.subn("", text)
            if not found:
                break
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text.strip()


def documents(path: Path, *, longest: int | None = None) -> Iterator[str]:
    """Yields the documents of a training text, in order.

    A MediaWiki dump gives one document per article, with markup removed. Any other text is split at form feeds; without
    form feeds it is one document.

    Args:
        path: a UTF-8 text file, plain or compressed (``.gz``).
        longest: largest number of bytes of the (decompressed) file to read; None for all.

    Raises:
        TextError: the file does not exist or is not UTF-8, or no document is long enough.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(-1 if longest is None else longest).decode("utf-8", errors="strict")
    except FileNotFoundError:
        raise TextError(f"no training text at '{path}': give a text file with --text") from None
    except UnicodeDecodeError as error:
        if longest is None or error.end < longest - 4:
            raise TextError(f"'{path}' is not UTF-8 (byte {error.start}): convert it first") from None
        raw = error.object[: error.start].decode("utf-8")  # the limit cut a character in two
    is_dump = raw.lstrip()[:20].startswith("<mediawiki")
    pieces = (_prose(found[1]) for found in _ARTICLE.finditer(raw)) if is_dump else iter(raw.split("\f"))
    kept = 0
    for piece in pieces:
        if len(piece) >= SHORTEST:
            kept += 1
            yield piece
    if not kept:
        raise TextError(f"'{path}' has no document of {SHORTEST} characters or more to train on")
