"""Checks results for local paths and access tokens, which must not be published.

Names given by the user and messages in a results file may contain paths. Anything that looks like a path or
a token is refused, even if it may be neither, since publishing cannot be undone; nothing is removed silently. A name
such as ``./ckpt-30`` says no more than ``ckpt-30``, and is none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moe_claims.errors import UsageError

_TOKENS = re.compile(
    r"hf_[A-Za-z0-9]{6,}"  # tokens of the hub, of users and of organisations
    r"|api_org_[A-Za-z0-9]{6,}"
    r"|gh[a-z]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|AKIA[0-9A-Z]{12,}"
    r"|\bsk-[\w-]{16,}"
    r"|://[^/\s@]+:[^/\s@]+@"  # a password in a URL
)
_PATHS = re.compile(
    r"(?<![\w/.)\]}%])/[\w.~][^\s'\",;)]*"  # /home/me, but not and/or, 1/2 or https://
    r"|file:/+[^\s'\",;)]*"
    r"|(?<!\w)~(?:[a-z_][\w-]*)?/[^\s'\",;)]*"
    r"|(?<![\w.])\.\.[/\\][^\s'\",;)]*"
    r"|(?<![\w.])\.[/\\](?![\w-][\w.@:+=-]*[/\\]?(?![\w.@:+=/\\-]))[^\s'\",;)]*"  # ./a/b, but not ./a or ./a/
    r"|(?<![A-Za-z])[A-Za-z]:[/\\](?![/\\])[^\s'\",;)]*"
    r"|\\\\[\w.-]+\\[^\s'\",;)]*"
)
_BARE = re.compile(r"(?:\.[/\\])?(?!\.\.[/\\]?$|~)[^/\\]+[/\\]?")
"""The name of something in the folder in which the claims were run."""
_AGAIN = (
    "run the claims again from the folder that it lies in, by its bare name (what was measured is kept), or give the "
    "name another with --rename OLD=NEW"
)


def check_tokens(document: object, who: str, *, secrets: Sequence[str] = ()) -> None:
    """Refuses a JSON document of any structure that contains something like a token.

    Args:
        document: the document.
        who: name of the document, for the message.
        secrets: further strings that it must not contain, such as the user's token of the hub.

    Raises:
        UsageError: it contains one; the message names the field but not its content.
    """
    for field, text in _strings(document, ""):
        if holds_token(text, secrets):
            raise UsageError(
                f"'{who}' is not published: {field} holds what looks like a token; run the claims again without it in "
                "a name or an option, and revoke it if others could read it"
            )


def check_paths(document: Mapping[str, Any], who: str) -> None:
    """Refuses a results document that contains a local path.

    Args:
        document: the results document, valid under the schema.
        who: name of the document, for the message.

    Raises:
        UsageError: it contains one; the message names the field and the path.
    """
    for field, text in _strings(document, ""):
        found = _PATHS.search(text)
        if found is not None:
            raise UsageError(f"'{who}' is not published: {field} holds a path, '{_short(found[0])}'; {_AGAIN}")
    for field, text in _names(document):
        if not _BARE.fullmatch(text):
            raise UsageError(f"'{who}' is not published: {field} is a path, '{_short(text)}'; {_AGAIN}")


def holds_token(text: str, secrets: Sequence[str] = ()) -> bool:
    """Whether a text contains one of the secrets or something that looks like a token."""
    return bool(_TOKENS.search(text)) or any(secret and secret in text for secret in secrets)


def holds_path(text: str) -> bool:
    """Whether a text contains something that looks like a path."""
    return bool(_PATHS.search(text))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


def _strings(part: object, field: str) -> Iterator[tuple[str, str]]:
    """Yields (field, string) for all strings of a document and all names of fields; ``models[0].name`` is a field."""
    if isinstance(part, str):
        yield field, part
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield f"the name of a field of {field or 'the whole'}", name
            yield from _strings(value, f"{field}.{name}" if field else name)
    elif isinstance(part, Sequence):
        for number, value in enumerate(part):
            yield from _strings(value, f"{field}[{number}]")


def _names(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (field, name) for names of local files and folders, in which relative paths can be recognised."""
    for number, card in enumerate(document["models"]):
        if card["kind"] == "directory":
            yield f"models[{number}].name", card["name"]
    for number, card in enumerate(document["corpora"]):
        if card["source"] is None:
            yield f"corpora[{number}].name", card["name"]
    experiments = document["environment"].get("experiments")
    if isinstance(experiments, str):
        yield "environment.experiments", experiments
