"""What an estimator is given: the measurements of one model on one text, and of the models it is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar, final

import numpy as np

from moe_claims.errors import MoeClaimsError, NotComparableError
from moe_claims.measure.measurement import (
    DenseWeights,
    MatchingMeasurement,
    RoutedMeasurement,
    WeightMeasurement,
)
from moe_claims.models.families.table import Role

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


@final
class Deferred(Generic[M_co]):
    """A measurement that is made when it is first asked for, once; so is the error that stops it."""

    def __init__(self, measure: Callable[[], M_co]) -> None:
        self._measure = measure
        self._found: M_co | MoeClaimsError | None = None

    @property
    def made(self) -> bool:
        """Whether it has been asked for."""
        return self._found is not None

    def get(self) -> M_co | MoeClaimsError:
        """The measurement, or the error that stopped it."""
        found = self._found
        if found is None:
            try:
                found = self._measure()
            except MoeClaimsError as error:  # claims on other parts are tested all the same
                found = error
            self._found = found
        return found


@final
class _Part(Generic[M]):
    """A field of ``Measured``: given as a value or as ``Deferred``, and read as the value."""

    def __init__(self, *default: M | Deferred[M], raises: bool = False) -> None:
        """A field with a default value, or one that must be given; ``raises``: reading it raises the error it holds."""
        self._default, self._raises, self._name = default, raises, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: "Measured | None", owner: type) -> M:
        if instance is None:  # asked by ``dataclass``, for the default
            if not self._default:
                raise AttributeError(self._name)
            return self._default[0]  # type: ignore[return-value]
        value = getattr(instance, self._name)
        if isinstance(value, Deferred):
            value = value.get()
        if self._raises and isinstance(value, MoeClaimsError):
            raise value
        found: M = _protected(value) if instance.read_only else value
        return found

    def __set__(self, instance: "Measured", value: M | Deferred[M]) -> None:
        object.__setattr__(instance, self._name, value)


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """The measurements of one model, on at most one text, each made when it is first read.

    Each field but ``weights`` holds a measurement, or the error that stopped it, or None where it was not asked for.
    The properties give the measurement, and raise that error where there is none.
    """

    weights: _Part[WeightMeasurement] = _Part(raises=True)
    """Similarities of the experts' weights. Reading it raises the error that stopped the measurement."""
    text: _Part[RoutedMeasurement | MoeClaimsError | None] = _Part(None)
    """What the model's routers and experts did on the text."""
    matching: _Part[Mapping[Role, MatchingMeasurement] | MoeClaimsError | None] = _Part(None)
    """The neurons of its experts matched one to one, by matrix kind."""
    dense: _Part[DenseWeights | MoeClaimsError | None] = _Part(None)
    """Its experts' weights against those of a dense model of the same shape."""
    second: _Part[RoutedMeasurement | MoeClaimsError | None] = _Part(None)
    """What a second model did on the very same tokens."""
    texts: _Part[Mapping[str, RoutedMeasurement | MoeClaimsError]] = _Part(Deferred(dict))
    """By name, what the model did on every text of the run, ``text`` among them."""
    read_only: bool = False
    """Whether no array can be written to. All estimators, those of third parties too, are handed the same arrays: one
    that wrote into them would change the numbers of others without a word."""

    def on(self, text: RoutedMeasurement) -> "Measured":
        """The same model on another text; makes no measurement."""
        return self._with(text=text)

    def protected(self) -> "Measured":
        """The same measurements, made where they were, that cannot be written to; makes none."""
        return self._with(read_only=True)

    def made(self) -> "Measured":
        """The same, with every part measured now.

        Raises:
            MoeClaimsError: the weights cannot be measured.
        """
        for part in fields(self):
            getattr(self, part.name)
        return self

    def has(self, part: str) -> bool:
        """Whether a part was measured already, such as ``text``, or was given."""
        value = getattr(self, f"_{part}")
        return value.made if isinstance(value, Deferred) else value is not None

    def _with(self, **changed: Any) -> "Measured":
        parts = {part.name: getattr(self, f"_{part.name}") for part in fields(self) if part.name != "read_only"}
        return Measured(**{"read_only": self.read_only, **parts, **changed})

    @property
    def routed(self) -> RoutedMeasurement:
        """The measurement on the text.

        Raises:
            MoeClaimsError: no text was run, or what stopped the measurement.
        """
        if self.text is None:
            raise MoeClaimsError("this claim needs a text, and none was run")
        return _there(self.text)

    @property
    def matched(self) -> Mapping[Role, MatchingMeasurement]:
        """The matched neurons, by matrix kind.

        Raises:
            MoeClaimsError: no neurons were matched, or what stopped the matching.
        """
        if self.matching is None:
            raise MoeClaimsError("this claim needs matched neurons, and none were matched")
        return _there(self.matching)

    @property
    def against_dense(self) -> DenseWeights:
        """The comparison with the dense reference.

        Raises:
            NotComparableError: no dense reference was named.
            MoeClaimsError: what stopped the comparison.
        """
        if self.dense is None:
            raise NotComparableError("no dense model to compare with: --moe-dense-reference NAME gives one")
        return _there(self.dense)

    @property
    def second_routed(self) -> RoutedMeasurement:
        """What the second model did on the same tokens.

        Raises:
            NotComparableError: no second model was named.
            MoeClaimsError: what stopped its measurement.
        """
        if self.second is None:
            raise NotComparableError("no second model to compare with: --moe-second-model NAME gives one")
        return _there(self.second)


def _there(part: M | MoeClaimsError) -> M:
    if isinstance(part, MoeClaimsError):
        raise part
    return part


def _protected(value: Any) -> Any:
    """The same value, with read-only arrays and mappings."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, Mapping):
        return MappingProxyType({name: _protected(one) for name, one in value.items()})
    elif is_dataclass(value):
        for part in fields(value):
            before = getattr(value, part.name)
            if (after := _protected(before)) is not before:
                object.__setattr__(value, part.name, after)
    return value
