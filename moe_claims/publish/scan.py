"""What must not leave this machine with a results file: paths on it, and tokens. It is refused, never taken out.

A results file is made of names that a user gave, and of messages; either may hold a path. What looks like a path or
a token is refused although it may be neither, since what was published once cannot be taken back.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moe_claims.errors import UsageError

_TOKENS = re.compile(
    r"hf_[A-Za-z0-9]{6,}"  # of the hub, of a user and of an organisation
    r"|api_org_[A-Za-z0-9]{6,}"
    r"|gh[a-z]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|AKIA[0-9A-Z]{12,}"
    r"|\bsk-[\w-]{16,}"
    r"|://[^/\s@]+:[^/\s@]+@"  # a password in an address
)
_PATHS = re.compile(
    r"(?<![\w/.)\]}%])/[\w.~][^\s'\",;)]*"  # /home/me, but not and/or, 1/2 or https://
    r"|file:/+[^\s'\",;)]*"
    r"|(?<!\w)~(?:[a-z_][\w-]*)?/[^\s'\",;)]*"
    r"|(?<![\w.])\.{1,2}[/\\][^\s'\",;)]*"
    r"|(?<![A-Za-z])[A-Za-z]:[/\\](?![/\\])[^\s'\",;)]*"
    r"|\\\\[\w.-]+\\[^\s'\",;)]*"
)
_APART = re.compile(r"[/\\]")
_AGAIN = "run the claims again from the folder that it lies in, by its bare name (what was measured is kept)"


def check_tokens(document: object, who: str, *, secrets: Sequence[str] = ()) -> None:
    """Refuses JSON of any shape that holds something like a token.

    Args:
        document: the results.
        who: what they are, for the message.
        secrets: strings that must not be in it either, such as the token that the hub knows the user by.

    Raises:
        UsageError: it does; the message names the field, and never repeats what it holds.
    """
    for place, text in _strings(document, ""):
        if holds_token(text, secrets):
            raise UsageError(
                f"'{who}' is not published: {place} holds what looks like a token; run the claims again without it in "
                "a name or an option, and revoke it if others could read it"
            )


def check_paths(document: Mapping[str, Any], who: str) -> None:
    """Refuses a results document that holds a path of this machine.

    Args:
        document: the results, which follow the schema.
        who: what they are, for the message.

    Raises:
        UsageError: it does; the message names the field and the path.
    """
    for place, text in _strings(document, ""):
        found = _PATHS.search(text)
        if found is not None:
            raise UsageError(f"'{who}' is not published: {place} holds a path, '{_short(found[0])}'; {_AGAIN}")
    for place, text in _names(document):
        if _APART.search(text):
            raise UsageError(f"'{who}' is not published: {place} is a path, '{_short(text)}'; {_AGAIN}")


def holds_token(text: str, secrets: Sequence[str] = ()) -> bool:
    """Whether a text holds a secret, or what looks like one."""
    return bool(_TOKENS.search(text)) or any(secret and secret in text for secret in secrets)


def holds_path(text: str) -> bool:
    """Whether a text holds what looks like a path."""
    return bool(_PATHS.search(text))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


def _strings(part: object, place: str) -> Iterator[tuple[str, str]]:
    """Every string, with its place such as ``models[0].name``; names of fields too, at the place of what has them."""
    if isinstance(part, str):
        yield place, part
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield f"the name of a field of {place or 'the whole'}", name
            yield from _strings(value, f"{place}.{name}" if place else name)
    elif isinstance(part, Sequence):
        for number, value in enumerate(part):
            yield from _strings(value, f"{place}[{number}]")


def _names(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names that stand for files and folders here, with a place each: a relative path can be told by them alone."""
    for number, card in enumerate(document["models"]):
        if card["kind"] == "directory":
            yield f"models[{number}].name", card["name"]
    for number, card in enumerate(document["corpora"]):
        if card["source"] is None:
            yield f"corpora[{number}].name", card["name"]
    experiments = document["environment"].get("experiments")
    if isinstance(experiments, str):
        yield "environment.experiments", experiments
