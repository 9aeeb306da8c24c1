"""Texts as one model reads them: the only place where token ids are made for a model, and checked against it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_claims import texts
from moe_claims.errors import UsageError
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.models.loading import OpenModel


def read_text(model: OpenModel, name: str, *, tokens: int | None = None) -> texts.Sequences:
    """A text, whole passages in order until ``tokens`` tokens are reached; None for all of it.

    Raises:
        UsageError: there is no such text, or the tokenizer is not the model's.
        TextError: it gives fewer than two sequences.
        ModelError: the model has no tokenizer.
    """
    text = texts.load(name)
    read = texts.tokenize(text, model.encoder(), limit=tokens, longest=model.context)
    return _checked(model, read, f"'{name}' as '{model.ref.name}' reads it")


def read_passage(model: OpenModel, name: str, passage: str) -> texts.Sequences:
    """A single passage as one sequence, cut where the model can read no further; ``name`` is for messages and tables.

    Raises:
        UsageError: the tokenizer is not the model's.
        ModelError: the model has no tokenizer.
    """
    text = texts.Text(name, (passage,))
    ids = tuple(model.encoder()(passage))[: model.context]
    return _checked(
        model, texts.Sequences(name, (ids,), text.sha256, 1, 0), f"the {name} as '{model.ref.name}' reads it"
    )


def read_token_ids(model: OpenModel, given: Path | Sequence[Sequence[int]]) -> texts.Sequences:
    """Token ids, one list per sequence, from a JSON file or as they are, used exactly as given.

    Raises:
        UsageError: the file is missing, it or the list holds something else, or has ids that the model does not know.
    """
    if isinstance(given, Path):
        ids, who = texts.read_token_ids(given), f"'{given}'"
        return _checked(model, texts.Sequences(str(given), ids, None, len(ids), 0), who)
    found = texts.as_token_ids(given)
    if found is None:
        raise UsageError("the token ids must be a list of lists of at least two token ids (whole numbers) each")
    return _checked(model, texts.Sequences("token ids", found, None, len(found), 0), "the list of token ids")


def _checked(model: OpenModel, sequences: texts.Sequences, who: str) -> texts.Sequences:
    texts.check_ids(sequences.ids, model.checkpoint.vocabulary, who)
    return sequences


def corpus_card(model: OpenModel, sequences: texts.Sequences, behaviour: RoutedMeasurement) -> dict[str, Any]:
    """What the report says about a text as one model read it; ``nats_per_token`` is the mean over predicted tokens."""
    predicted = behaviour.lengths - 1
    return {
        "name": sequences.name,
        "model": model.ref.name,
        "text_sha256": sequences.source_sha256,
        "source": sequences.source,
        "revision_sha": sequences.revision,
        "token_ids_sha256": sequences.sha256,
        "passages": sequences.passages,
        "sequences": len(sequences.ids),
        "tokens": sequences.tokens,
        "tokens_cut": sequences.tokens_cut,
        "nats_per_token": float((behaviour.nats * predicted).sum() / predicted.sum()),
    }
