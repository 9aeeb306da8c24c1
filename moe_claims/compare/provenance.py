"""Differences between two results files in what their numbers depend on: versions, options, models and texts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

Row = Mapping[str, Any]
Texts = Mapping[str, Mapping[str, Row]]
"""Model → name of the text → card of the text."""

_OF_TEXTS = ("text_sha256", "token_ids_sha256", "sequences", "tokens", "revision_sha")
"""Fields of a text's card that numbers depend on; its loss is not among them, since it is a result."""
_SAYS_THE_SAME = ("command",)
"""Parts of the environment that repeat others, or name models and texts, whose cards are compared."""


@final
@dataclass(frozen=True)
class Dependence:
    """Something that the numbers depend on and that differs between two files; None if a file does not have it."""

    what: str
    """Name, for readers."""
    before: object
    after: object


def depends(before: Row, after: Row, renamed: Mapping[str, str]) -> tuple[Dependence, ...]:
    """Differences between two results documents in versions, options, models and texts.

    Args:
        before: the earlier document.
        after: the later document.
        renamed: model of the later document → model of the earlier one that it is compared with.
    """
    earlier, later = (
        {name: value for name, value in document["environment"].items() if name not in _SAYS_THE_SAME}
        for document in (before, after)
    )
    found = [Dependence(what, *values) for what, values in _changed(earlier, later)]
    by_change: dict[tuple[str, object, object], list[str]] = {}
    for model, part, values in (*_of_models(before, after, renamed), *_of_texts(before, after, renamed)):
        by_change.setdefault((part, *values), []).append(model)
    found += [Dependence(f"{part} of {', '.join(models)}", *values) for (part, *values), models in by_change.items()]
    return tuple(found)


def _changed(before: Row, after: Row) -> Iterator[tuple[str, tuple[object, object]]]:
    for part in dict.fromkeys([*before, *after]):
        if before.get(part) != after.get(part):
            yield part, (before.get(part), after.get(part))


def _of_models(before: Row, after: Row, renamed: Mapping[str, str]) -> Iterator[tuple[str, str, tuple[object, object]]]:
    cards = {card["name"]: card for card in before["models"]}
    for card in after["models"]:
        name = renamed.get(card["name"], card["name"])
        if name in cards:
            for part, values in _changed({**cards[name], "name": ""}, {**card, "name": ""}):
                yield name, part, values


def _of_texts(before: Row, after: Row, renamed: Mapping[str, str]) -> Iterator[tuple[str, str, tuple[object, object]]]:
    earlier, later = texts_of(before, {}), texts_of(after, renamed)
    for model in (name for name in earlier if name in later):
        if set(earlier[model]) != set(later[model]):
            yield model, "texts", (", ".join(earlier[model]), ", ".join(later[model]))
        for name in (name for name in earlier[model] if name in later[model]):
            cards = [{part: found[model][name][part] for part in _OF_TEXTS} for found in (earlier, later)]
            for part, values in _changed(*cards):
                yield model, f"text {name}: {part}", values


def texts_of(document: Row, renamed: Mapping[str, str]) -> Texts:
    """The cards of a document's texts by model, after renaming, and name of the text."""
    found: dict[str, dict[str, Row]] = {}
    for card in document["corpora"]:
        found.setdefault(renamed.get(card["model"], card["model"]), {})[card["name"]] = card
    return found


def other_text(before: Row | None, after: Row | None) -> str | None:
    """Reason why effects on two texts of the same name cannot be compared; None if they can.

    Args:
        before: card of the text in the earlier run; None if there is none of that name.
        after: card of the text in the later run, likewise.
    """
    if before is None or after is None:
        return None if before is after else "the texts differ: one run has a text more"
    if before["token_ids_sha256"] == after["token_ids_sha256"]:
        return None
    if before["text_sha256"] is None or before["text_sha256"] != after["text_sha256"]:
        return "the texts differ"
    if before["sequences"] != after["sequences"]:
        return f"the texts differ: cut to {before['sequences']} and to {after['sequences']} sequences"
    return None


def other_tokens(before: Row | None, after: Row | None) -> bool:
    """Whether the same text was read as different tokens, by another tokenizer or up to another limit."""
    return before is not None and after is not None and before["token_ids_sha256"] != after["token_ids_sha256"]
