"""Training text: any text file, or a Wikipedia dump reduced to its prose."""

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
"""Documents under this many characters (redirects, stubs) teach little and are left out."""


def _prose(markup: str) -> str:
    """Wikipedia markup → running text; what is not prose (templates, tables, lists) goes."""
    text = html.unescape(html.unescape(markup))
    for pattern in _INNERMOST:
        for _ in range(6):  # templates nest; six levels leave next to nothing
            text, found = pattern.subn("", text)
            if not found:
                break
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text.strip()


def documents(path: Path, *, longest: int | None = None) -> Iterator[str]:
    """The documents of a training text, in order.

    A MediaWiki dump (``.gz`` or plain) gives one document per article, markup removed.
    Any other text is split at form feeds, or taken as one document.

    Args:
        path: a UTF-8 text file; ``.gz`` is unpacked on the way.
        longest: read at most this many characters of the file.

    Raises:
        TextError: no such file, not UTF-8, or nothing left after cleaning.
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
