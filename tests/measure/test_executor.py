"""Work for an executor: lazy in this process, and the same arrays from a pickled description of it elsewhere."""

import multiprocessing
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe_claims.measure import work
from moe_claims.measure.executor import LayerWork, LocalExecutor, ModelWork
from moe_claims.measure.measurement import Arrays
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import FileSnapshot, Forgetful, NoSnapshot
from moe_claims.models import loading
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.dense import open_dense
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import open_model, random_control
from moe_claims.models.names import resolve
from moe_claims.models.shared_experts import SharedExperts
from moe_claims.settings import settings_from

SIZES = "layers=2&experts=4&hidden=16&intermediate=8&context=12"
MODEL = f"synthetic:planted?{SIZES}"
DENSE = f"synthetic:dense?{SIZES}"
TUNED = f"synthetic:planted?{SIZES}&noise=0.1"
SEQUENCES = [[0, 5, 6, 7], [0, 8, 9], [1, 2, 3, 4, 5]]
SMALL = 4_000
"""Bytes of a pickled description: weights do not travel with it."""


def _assert_same(found: Iterable[Arrays], expected: Iterable[Arrays]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, array in one.items():
            assert array.dtype == other[name].dtype
            np.testing.assert_array_equal(array, other[name])


_MEASURED = "list(__import__('pickle').loads(pickled).measure(*arguments))"
"""What another process does. As text, since tests are no package that it could import a function from."""


class Elsewhere:
    """Another executor: each layer, and each model, from nothing but a pickled description."""

    def __init__(self, run: Callable[..., Any] = lambda function, *arguments: function(*arguments)) -> None:
        self._run = run
        self.pieces = 0

    def map_layers(self, work: LayerWork, layers: Sequence[int]) -> Iterator[Arrays]:
        for layer in layers:
            self.pieces += 1
            yield from self._run(eval, _MEASURED, {"pickled": pickle.dumps(work), "arguments": ([layer],)})

    def map_models(self, works: Iterable[ModelWork]) -> Iterator[Iterator[Arrays]]:
        for one in works:
            self.pieces += 1
            yield iter(self._run(eval, _MEASURED, {"pickled": pickle.dumps(one), "arguments": ()}))


def test_this_process_measures_nothing_before_it_is_asked_for() -> None:
    asked = []

    class Slow:
        def measure(self, layers: Sequence[int] = (0,)) -> Iterator[Arrays]:
            for layer in layers:
                asked.append(layer)
                yield {"layer": np.asarray(layer)}

    found = LocalExecutor().map_layers(Slow(), [3, 1, 2])
    assert asked == []
    assert int(next(found)["layer"]) == 3
    assert asked == [3]
    assert [int(arrays["layer"]) for arrays in found] == [1, 2]
    del asked[:]
    models = LocalExecutor().map_models([Slow(), Slow()])
    first = next(models)
    assert asked == []
    assert len(list(first)) == 1
    assert asked == [0]
    assert [len(list(model)) for model in models] == [1]


def test_another_executor_measures_the_same() -> None:
    options = {"model": [MODEL], "tokens": "200", "device": "cpu", "dense-reference": DENSE, "second-model": TUNED}
    settings, model = settings_from(options), open_model(resolve(MODEL))
    here, _ = Measurer(settings, Forgetful()).measure(model)
    executor = Elsewhere()
    there, _ = Measurer(settings, Forgetful(), executor).measure(model)
    there["builtin"].made()
    assert executor.pieces == 2 * 5 + 2  # each layer of: weights, three matchings, dense reference; two models
    one, other = here["builtin"], there["builtin"]
    _assert_same([one.weights.arrays()], [other.weights.arrays()])
    for arrays in (
        lambda measured: [measured.weights.arrays()],
        lambda measured: [found.arrays() for found in measured.matched.values()],
        lambda measured: [measured.against_dense.matrix, measured.against_dense.mean],
        lambda measured: [measured.routed.arrays(), measured.second_routed.arrays()],
    ):
        _assert_same(arrays(one), arrays(other))


def test_another_process_measures_the_same(saved: Callable[..., Path]) -> None:
    checkpoint = Checkpoint.open(saved("mixtral"), "m")
    weights = work.Weights(checkpoint, "cpu")
    text = work.TextPass(LayerwiseModel(checkpoint), SEQUENCES, checkpoint.moe_layers, None, True, NoSnapshot())
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        executor = Elsewhere(lambda *call: pool.submit(*call).result())
        _assert_same(executor.map_layers(weights, checkpoint.moe_layers), weights.measure(checkpoint.moe_layers))
        for found in executor.map_models([text]):
            _assert_same(found, text.measure())


def test_an_error_comes_where_its_layer_would_have_come() -> None:
    checkpoint = open_model(resolve(MODEL)).checkpoint
    for executor in (LocalExecutor(), Elsewhere()):
        found = executor.map_layers(work.Weights(checkpoint, "cpu"), [0, 7])
        assert "similarity.router" in next(found)
        with pytest.raises(Exception, match="7"):
            next(found)


@pytest.mark.parametrize("kind", ["folder", "control"])
def test_descriptions_are_small_and_read_the_same_weights(
    kind: str, saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved("mixtral")
    checkpoint = Checkpoint.open(folder, "m")
    if kind == "control":
        monkeypatch.setattr(loading, "_IN_MEMORY", 0)  # as of a model that is too large to be made at once
        checkpoint = random_control(open_model(resolve(str(folder)))).checkpoint
    layers = checkpoint.moe_layers
    for one in (
        work.Weights(checkpoint, "cpu"),
        work.Matching(checkpoint, "down"),
        work.Projections(checkpoint, None, 3, "cpu"),
    ):
        pickled = pickle.dumps(one)
        assert len(pickled) < SMALL
        _assert_same(pickle.loads(pickled).measure(layers), one.measure(layers))


def test_shared_experts_stay_those_of_their_model() -> None:
    checkpoint = open_model(resolve("tiny-fine")).checkpoint
    one = work.AgainstBlocks(checkpoint, SharedExperts(checkpoint), "cpu")
    pickled = pickle.dumps(one)
    assert len(pickled) < SMALL
    _assert_same(pickle.loads(pickled).measure([1, 4]), one.measure([1, 4]))


def test_a_dense_reference_and_a_snapshot_travel_too(tmp_path: Path) -> None:
    checkpoint = open_model(resolve(MODEL)).checkpoint
    model = LayerwiseModel(checkpoint, dtype="float64", resident=True)
    one = work.TextPass(model, SEQUENCES, [1], open_dense(resolve(DENSE)), False, FileSnapshot(tmp_path, "k"))
    _assert_same(pickle.loads(pickle.dumps(one)).measure(), one.measure())
    assert [path.stem for path in sorted(tmp_path.glob("*.npz"))] == ["k-after-1"]
    again = pickle.loads(pickle.dumps(model))
    assert (again.dtype, again.device, again.resident) == ("float64", "cpu", True)
