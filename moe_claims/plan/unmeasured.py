"""Measurements of a known shape without numbers: what an estimator can know of a model before it is measured."""

from collections.abc import Iterator
from typing import Any, NoReturn, final

import numpy as np

from moe_claims import texts
from moe_claims.errors import MoeClaimsError
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import DenseWeights, MatchingMeasurement, RoutedMeasurement, WeightMeasurement
from moe_claims.models.families.table import ROLES
from moe_claims.plan.opening import Subject


class NeedsNumbersError(Exception):
    """An estimator asked for a number that only a measurement gives."""


@final
class Shaped:
    """Stands for an array that will be measured: has its shape and dtype, and raises for whatever needs its numbers.

    Args:
        shape: of the array.
        dtype: of the array.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str = "float64") -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> "Shaped":
        try:
            part = np.broadcast_to(np.empty(()), self.shape)[index]
        except (IndexError, TypeError):
            raise NeedsNumbersError from None
        if not part.shape:
            raise NeedsNumbersError
        return Shaped(part.shape, self.dtype.name)

    def __iter__(self) -> Iterator["Shaped"]:
        return (self[number] for number in range(len(self)))

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise NeedsNumbersError

    def __array_function__(self, *_: Any) -> NoReturn:
        raise NeedsNumbersError

    def __array_ufunc__(self, *_: Any, **__: Any) -> NoReturn:
        raise NeedsNumbersError

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NeedsNumbersError

    def _number(self, *_: Any) -> NoReturn:
        raise NeedsNumbersError

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _number
    __matmul__ = __rmatmul__ = __pow__ = __neg__ = __abs__ = __lt__ = __le__ = __gt__ = __ge__ = _number
    __bool__ = __float__ = __int__ = __index__ = _number

    def __eq__(self, other: object) -> NoReturn:
        raise NeedsNumbersError

    def __ne__(self, other: object) -> NoReturn:
        raise NeedsNumbersError

    def __hash__(self) -> int:
        return id(self)


def _shaped(*shape: int, dtype: str = "float64") -> Any:
    return Shaped(shape, dtype)


def weights_of(subject: Subject) -> WeightMeasurement:
    """Of all MoE layers."""
    pairs = (len(subject.layers), subject.experts, subject.experts)
    return WeightMeasurement(
        np.asarray(subject.layers),
        _shaped(*pairs),
        {role: _shaped(*pairs) for role in ROLES},
        {role: _shaped(*pairs) for role in ROLES},
    )


def matching_of(subject: Subject, layers: tuple[int, ...]) -> dict[Any, MatchingMeasurement]:
    """Of the layers whose neurons would be matched."""
    pairs = (len(layers), subject.experts, subject.experts)
    return {
        role: MatchingMeasurement(
            np.asarray(layers),
            _shaped(*pairs),
            _shaped(*pairs),
            _shaped(*pairs, subject.neurons, dtype="int32"),
            _shaped(len(layers)),
        )
        for role in ROLES
    }


def against_of(subject: Subject) -> DenseWeights:
    """Of all MoE layers against a dense model of their shape."""
    shape = (len(subject.layers), subject.experts)
    return DenseWeights({role: _shaped(*shape) for role in ROLES}, {role: _shaped(*shape) for role in ROLES})


def routed_of(subject: Subject, read: texts.Sequences, *, dense: bool) -> RoutedMeasurement:
    """Of a text: its lengths are known, since it has been read."""
    layers, experts, count = len(subject.layers), subject.experts, len(read.ids)
    return RoutedMeasurement(
        layers=np.asarray(subject.layers),
        lengths=np.asarray([len(one) for one in read.ids]),
        router_logits=_shaped(layers, read.tokens, experts, dtype="float32"),
        output_norms=_shaped(layers, read.tokens, experts, dtype="float32"),
        chosen=_shaped(layers, read.tokens, subject.top_k, dtype="int16"),
        angular_sums=_shaped(layers, count, experts, experts),
        nats=_shaped(count),
        chosen_similarity=_shaped(layers, count, 2),
        active_sums=_shaped(layers, count, experts),
        magnitude_sums=_shaped(layers, count, experts),
        index_sums=_shaped(layers, count),
        index_shifted=_shaped(layers, subject.neurons),
        dense_sums=_shaped(layers, count, experts) if dense else None,
    )


def measured_of(
    subject: Subject,
    *,
    matching: tuple[int, ...] | MoeClaimsError,
    dense: bool | MoeClaimsError | None,
    second: MoeClaimsError | bool | None,
) -> dict[str, Measured]:
    """What estimators would be handed, by text, without numbers.

    Args:
        subject: the model.
        matching: layers whose neurons would be matched, or why none are.
        dense: whether there is a dense reference of the same shape, or why not; None where none was named.
        second: whether there is a second model that can be compared, or why not; None where none was named.
    """
    weights = weights_of(subject)
    has_dense = dense is True
    behaviour: dict[str, RoutedMeasurement | MoeClaimsError] = {
        name: read if isinstance(read, MoeClaimsError) else routed_of(subject, read, dense=has_dense)
        for name, read in subject.texts.items()
    }
    reason = subject.model.checkpoint.family.weights_only
    if reason:
        behaviour = {name: MoeClaimsError(f"'{subject.name}' cannot be run: {reason}") for name in behaviour}
    return {
        name: Measured(
            weights,
            text,
            matching if isinstance(matching, MoeClaimsError) else matching_of(subject, matching),
            against_of(subject) if dense is True else None if dense is False else dense,
            text if second is True else None if second is False else second,
            behaviour,
        )
        for name, text in behaviour.items()
    }
