"""Who does the measuring: this process, or whatever else takes the same descriptions of the work.

An executor is handed work that says by itself what is to be measured of which model. Work can be
pickled, and is small then: checkpoints travel as the place that their weights are read from. The
store stays with whoever asked: it writes what an executor yields as it comes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, final

from moe_claims.measure.measurement import Arrays


class LayerWork(Protocol):
    """Something to be measured of a model in every layer, of each layer without the others."""

    def measure(self, layers: Sequence[int]) -> Iterator[Arrays]:
        """The arrays of each of these layers (true indices), in their order, each as soon as it is there."""


class ModelWork(Protocol):
    """Something to be measured of a model as a whole, such as a pass of a text through all its layers."""

    def measure(self) -> Iterator[Arrays]:
        """Its arrays in a fixed order, each as soon as it is there; nothing beyond what is asked for is measured."""


class Executor(Protocol):
    """Runs work, here or elsewhere. What it yields does not depend on where, or in which order, the work is done.

    An error that the work raises is raised where its arrays would have come; what came before stands.
    """

    def map_layers(self, work: LayerWork, layers: Sequence[int]) -> Iterator[Arrays]:
        """The arrays of each layer (true indices), in their order, each as soon as it and all before it are there."""

    def map_models(self, works: Iterable[ModelWork]) -> Iterator[Iterator[Arrays]]:
        """For each model's work, in their order, its arrays, each as soon as it and all before it are there."""


@final
class LocalExecutor:
    """Does the work in this process, one piece after the other, and none of it before it is asked for."""

    def map_layers(self, work: LayerWork, layers: Sequence[int]) -> Iterator[Arrays]:
        """The arrays of each layer, measured when they are asked for."""
        return work.measure(layers)

    def map_models(self, works: Iterable[ModelWork]) -> Iterator[Iterator[Arrays]]:
        """For each model's work its arrays, measured when they are asked for."""
        return (work.measure() for work in works)
