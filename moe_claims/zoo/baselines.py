"""N-gram baselines for the losses of embedded models on held-out text."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moe_claims.zoo.tokens import TokenStream

Ids = NDArray[np.int64]

ORDERS = {"unigram": 1, "trigram": 3, "fivegram": 5}
"""Order n of each n-gram baseline in a model card, by name."""


def _counts(keys: Ids) -> tuple[Ids, Ids]:
    values, counts = np.unique(keys, return_counts=True)
    return values, counts.astype(np.int64)


def _look_up(table: tuple[Ids, Ids], keys: Ids) -> NDArray[np.float64]:
    values, counts = table
    at = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    return np.where(values[at] == keys, counts[at], 0).astype(np.float64)


def _grams(ids: Ids, length: int, vocabulary: int) -> Ids:
    """Every n-gram of ``length`` tokens encoded as one integer, (len(ids) − length + 1,)."""
    keys = np.zeros(len(ids) - length + 1, np.int64)
    for offset in range(length):
        keys = keys * vocabulary + ids[offset : len(ids) - length + 1 + offset]
    return keys


def ngram_nats(train: Ids, held_out: Ids, vocabulary: int, order: int) -> float:
    """Mean cross-entropy (nats per token) of an interpolated n-gram model.

    Witten–Bell smoothing (Chen and Goodman 1998, section 2.5): each context gives weight
    n / (n + distinct followers) to its own counts and the rest to the shorter context; single
    tokens are counted with one added. The first ``order − 1`` tokens, which have no full
    context, are excluded from the mean.

    Raises:
        ValueError: ``vocabulary ** order`` exceeds 63 bits, so that n-grams cannot be encoded.
    """
    if vocabulary**order > 2**63:
        raise ValueError(f"runs of {order} tokens out of {vocabulary:,} cannot be numbered in 64 bits")
    single = np.bincount(train, minlength=vocabulary) + 1.0
    probability = (single / single.sum())[held_out[order - 1 :]]
    for length in range(2, order + 1):
        runs = _counts(_grams(train, length, vocabulary))
        totals = _counts(_grams(train[:-1], length - 1, vocabulary))
        distinct = _counts(runs[0] // vocabulary)
        asked = _grams(held_out[order - length :], length, vocabulary)
        seen, context = _look_up(runs, asked), asked // vocabulary
        n, kinds = _look_up(totals, context), _look_up(distinct, context)
        longer = (seen + kinds * probability) / np.maximum(n + kinds, 1)
        probability = np.where(n > 0, longer, probability)
    return float(-np.log(probability).mean())


def baselines(train: TokenStream, held_out: TokenStream, vocabulary: int, folder: Path) -> dict[str, float]:
    """Nats per token of every baseline, by name; cached in ``folder``, beside the token streams."""
    path = folder / "baselines.json"
    if not path.exists():
        ids, test = train.ids.astype(np.int64), held_out.ids.astype(np.int64)
        found = {name: ngram_nats(ids, test, vocabulary, order) for name, order in ORDERS.items()}
        partial = path.with_suffix(f".{np.random.default_rng().integers(1 << 32)}")
        partial.write_text(json.dumps(found))
        partial.replace(path)
    loaded: dict[str, float] = json.loads(path.read_text())
    return loaded
