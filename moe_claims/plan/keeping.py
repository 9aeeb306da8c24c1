"""What a run would keep on disk: the size of every entry of the store, and which of them are there already."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, final

import numpy as np

from moe_claims import texts
from moe_claims.measure.measurement import Arrays
from moe_claims.measure.part_measurer import PartMeasurer
from moe_claims.measure.store import Measure, NoSnapshot, Snapshot, Store
from moe_claims.models.families.table import ROLES
from moe_claims.plan.opening import Reference, Subject

_KEY_BYTES = 4 * 40
"""Of the entry's own key, which NumPy writes in four bytes per character."""
_DIGEST = 64
"""Of the file with the checksum beside each entry."""
_ZIP, _ZIP_PER_ARRAY = 22, 2 * len(".npy") + 30 + 46 + 20 + 128
"""What the format adds to a file, and to each array in it besides twice its name: headers of zip and of NumPy."""

Sized = tuple[tuple[str, int], ...]
"""(Name of an array, its bytes)."""


def entry_bytes(arrays: Sized) -> int:
    """Bytes of the files of one entry of the store."""
    named = (*arrays, ("store.key", _KEY_BYTES))
    return _ZIP + _DIGEST + sum(size + 2 * len(name) + _ZIP_PER_ARRAY for name, size in named)


def weights_entry(experts: int) -> int:
    """Of the weights of one layer."""
    names = ["similarity.router", *(f"similarity.{kind}.{role}" for kind in ("matrix", "mean") for role in ROLES)]
    return entry_bytes(tuple((name, 8 * experts**2) for name in names))


def matching_entry(experts: int, neurons: int) -> int:
    """Of the matched neurons of one layer, by one matrix kind."""
    pairs = experts**2
    sizes = {"similarity": 8 * pairs, "tau": 8 * pairs, "permutation": 4 * pairs * neurons, "null_gain": 8}
    return entry_bytes(tuple(sizes.items()))


def against_entry(experts: int) -> int:
    """Of the comparison of one layer with a dense model."""
    return entry_bytes(tuple((f"{kind}.{role}", 8 * experts) for kind in ("matrix", "mean") for role in ROLES))


def routed_entry(subject: Subject, sequences: texts.Sequences, *, dense: bool, dtype: str) -> int:
    """Of what one layer does on a text."""
    experts, tokens, count = subject.experts, sequences.tokens, len(sequences.ids)
    scores = (8 if dtype == "float64" else 4) * tokens * experts
    sizes = {
        "router_logits": scores,
        "output_norms": scores,
        "chosen": 2 * tokens * subject.top_k,
        "angular_sums": 8 * count * experts**2,
        "chosen_similarity": 16 * count,
        "active_sums": 8 * count * experts,
        "magnitude_sums": 8 * count * experts,
        "index_sums": 8 * count,
        "index_shifted": 8 * subject.neurons,
    }
    return entry_bytes((*sizes.items(), *((("dense_sums", 8 * count * experts),) if dense else ())))


def whole_entry(sequences: texts.Sequences) -> int:
    """Of what a whole text has besides its layers."""
    return entry_bytes((("lengths", 8 * len(sequences.ids)), ("nats", 8 * len(sequences.ids))))


class _AskedError(Exception):
    """Stops a measurement once its keys are known."""


class _Anything(dict[str, Any]):
    """Stands for the arrays of an entry, whatever their names."""

    def __missing__(self, name: str) -> Any:
        return np.zeros(())


@final
class _Listener:
    """A keeper that notes which keys are asked for, and measures nothing."""

    def __init__(self, *, stop: bool) -> None:
        self.keys: list[str] = []
        self._stop = stop

    def get_or_measure(self, keys: Sequence[str], measure: Measure) -> list[Arrays]:
        self.keys += keys
        if self._stop:
            raise _AskedError
        return [_Anything() for _ in keys]

    def snapshot(self, key: str) -> Snapshot:
        return NoSnapshot()


@final
class Kept:
    """Which measurements of models the store has already.

    Args:
        store: the run's store.
        device: as in ``PartMeasurer``.
        dtype: as in ``PartMeasurer``.
    """

    def __init__(self, store: Store, *, device: str, dtype: str) -> None:
        self._store, self._device, self._dtype = store, device, dtype

    def weights(self, subject: Subject) -> list[bool] | None:
        """For every MoE layer, whether its weights were measured; None where only the weights themselves tell."""
        return self._there(subject, lambda parts: parts.weights(subject.model))

    def matching(self, subject: Subject, layers: Sequence[int]) -> list[bool] | None:
        """For every matrix kind and layer, whether its neurons were matched."""
        return self._there(subject, lambda parts: parts.matching(subject.model, layers))

    def against(self, subject: Subject, dense: Reference) -> list[bool] | None:
        """For every layer, whether it was compared with the dense model."""
        return self._there(subject, lambda parts: parts.against(subject.model, dense.model), dense)

    def routed(self, subject: Subject, sequences: texts.Sequences, dense: Reference | None) -> list[bool] | None:
        """For every layer, and last for the whole text, whether it was measured on the text."""
        blocks = None if dense is None else dense.model
        return self._there(subject, lambda parts: parts.routed(subject.model, sequences, blocks), dense, stop=True)

    def _there(
        self,
        subject: Subject,
        ask: Callable[[PartMeasurer], object],
        dense: Reference | None = None,
        *,
        stop: bool = False,
    ) -> list[bool] | None:
        if not subject.known or (dense is not None and not dense.known):
            return None
        listener = _Listener(stop=stop)
        with suppress(_AskedError):
            ask(PartMeasurer(listener, device=self._device, dtype=self._dtype))
        return [self._store.has(key) for key in listener.keys]
