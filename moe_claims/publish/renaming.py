"""Other names for models, texts and folders in results that are published, where the user's say too much."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from moe_claims.errors import UsageError


def renamed(document: Mapping[str, Any], wanted: Sequence[str], who: str) -> dict[str, Any]:
    """A copy of a results document in which names are replaced wherever they stand, also in messages.

    Args:
        document: the results document, valid under the schema.
        wanted: ``OLD=NEW`` each.
        who: name of the document, for messages.

    Raises:
        UsageError: nothing has the old name, or something has the new one already.
    """
    pairs: dict[str, str] = {}
    there = _names(document)
    for one in wanted:
        old, equals, new = one.rpartition("=")  # an old name may have a sign of equality, such as step=30
        if not (equals and old and new.strip() == new and new):
            raise UsageError(f"--rename {one}: give OLD=NEW, such as runs/ckpt-30=ckpt-30")
        if old not in there:
            raise UsageError(f"--rename {one}: nothing in '{who}' is called '{old}'; there are {', '.join(there)}")
        if new in {*there, *pairs.values()} or old in pairs:
            raise UsageError(f"--rename {one}: '{new if old not in pairs else old}' is named already in '{who}'")
        pairs[old] = new
    if not pairs:
        return dict(document)
    # The longest first: one name may begin like another.
    either = "|".join(map(re.escape, sorted(pairs, key=len, reverse=True)))
    pattern = re.compile(rf"(?<![\w./\\-])(?:{either})(?![\w-]|[./\\]\w)")
    replaced = _replaced(document, pattern, pairs)
    assert isinstance(replaced, dict)
    return replaced


def _names(document: Mapping[str, Any]) -> list[str]:
    """All names that the user may have given, each once, in order."""
    environment = document["environment"]
    found = [card["name"] for card in (*document["models"], *document["corpora"])]
    found += [row["model"] for row in (*document["results"], *document["errors"])]
    found += [environment.get(key) for key in ("dense_reference", "second_model", "experiments")]
    return list(dict.fromkeys(name for name in found if isinstance(name, str)))


def _replaced(part: object, pattern: re.Pattern[str], pairs: Mapping[str, str]) -> object:
    if isinstance(part, str):
        return pairs.get(part) or pattern.sub(lambda match: pairs[match[0]], part)
    if isinstance(part, Mapping):
        return {_replaced(name, pattern, pairs): _replaced(value, pattern, pairs) for name, value in part.items()}
    if isinstance(part, Sequence):
        return [_replaced(value, pattern, pairs) for value in part]
    return part
