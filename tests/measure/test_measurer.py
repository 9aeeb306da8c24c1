"""A model measured with all it is compared with: a part that fails is its error, and nothing is measured twice."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from moe_claims.errors import ModelError, MoeClaimsError, NotComparableError, TextError, UsageError
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import RoutedMeasurement
from moe_claims.measure.measurer import Measurer, check_same_shape
from moe_claims.measure.store import Arrays, Forgetful, Measure, NoSnapshot, Snapshot
from moe_claims.models.loading import open_model, random_control
from moe_claims.models.names import resolve
from moe_claims.models.synthetic import build
from moe_claims.settings import settings_from

SIZES = "layers=2&experts=4&hidden=16&intermediate=8&context=12"
MODEL = f"synthetic:planted?{SIZES}"
DENSE = f"synthetic:dense?{SIZES}"
TUNED = f"synthetic:planted?{SIZES}&noise=0.1"


class Remembering:
    """A keeper in memory that counts what was measured."""

    def __init__(self) -> None:
        self.kept: dict[str, Arrays] = {}

    def get_or_measure(self, keys: Sequence[str], measure: Measure) -> list[Arrays]:
        missing = [number for number, key in enumerate(keys) if key not in self.kept]
        for number, arrays in zip(missing, measure(missing) if missing else (), strict=True):
            self.kept[keys[number]] = arrays
        return [self.kept[key] for key in keys]

    def snapshot(self, key: str) -> Snapshot:
        return NoSnapshot()


def _measurer(keeper: Any = None, **options: Any) -> Measurer:
    values = {"model": [MODEL], "tokens": "200", "device": "cpu"}
    values |= {name.replace("_", "-"): value for name, value in options.items()}
    return Measurer(settings_from(values), keeper or Forgetful())


def _measure(name: str = MODEL, **options: Any) -> Measured:
    """On the first text."""
    measured, _ = _measurer(**options).measure(open_model(resolve(name)))
    return next(iter(measured.values()))


def _said(part: object, kind: type[MoeClaimsError]) -> str:
    assert type(part) is kind
    assert "\n" not in str(part)
    return str(part)


# --- what is measured ------------------------------------------------------------------------------


def test_everything_that_is_asked_for_is_there() -> None:
    options = {"text": ["builtin", "builtin-code"], "dense_reference": DENSE, "second_model": TUNED, "layers": "1"}
    measured, cards = _measurer(**options).measure(open_model(resolve(MODEL)))
    assert list(measured) == ["builtin", "builtin-code"]
    assert cards == []  # nothing was run yet
    for given in measured.values():
        assert given.weights.layers.tolist() == [0, 1]
        assert {role: found.layers.tolist() for role, found in given.matched.items()} == {
            "up": [1],
            "act": [1],
            "down": [1],
        }
        assert given.against_dense.mean["act"].shape == (2, 4)
        assert given.routed.dense_sums is not None
        assert given.routed.dense_sums.shape == (2, len(given.routed.lengths), 4)
        assert given.second_routed.lengths.tolist() == given.routed.lengths.tolist()
        assert list(given.texts) == list(measured)
        assert all(isinstance(text, RoutedMeasurement) for text in given.texts.values())
    assert [card["name"] for card in cards] == ["builtin", "builtin-code"]


def test_nothing_is_compared_that_was_not_asked_for() -> None:
    given = _measure()
    assert (given.dense, given.second) == (None, None)
    assert given.routed.dense_sums is None


def test_random_control_goes_the_same_way() -> None:
    measurer = _measurer(dense_reference=DENSE, second_model=TUNED)
    measured, _ = measurer.measure(random_control(open_model(resolve(MODEL))))
    given = measured["builtin"]
    assert given.against_dense.matrix["up"].shape == (2, 4)
    assert given.routed.dense_sums is not None
    assert given.second_routed.chosen.shape == given.routed.chosen.shape


def test_a_model_is_its_own_second() -> None:
    given = _measure(second_model=MODEL)
    np.testing.assert_array_equal(given.second_routed.chosen, given.routed.chosen)
    np.testing.assert_array_equal(given.second_routed.router_logits, given.routed.router_logits)
    other = _measure(second_model=TUNED)
    assert 0.5 < (other.second_routed.chosen == other.routed.chosen).mean() < 1


def _read_all(measurer: Measurer, name: str) -> None:
    measured, _ = measurer.measure(open_model(resolve(name)))
    for given in measured.values():
        assert all(getattr(given, part) is not None for part in ("weights", "matching", "texts"))
        assert given.text, given.dense
        assert given.second is not None


@pytest.mark.parametrize(
    ("part", "kept"), [("weights", 2), ("matching", 6), ("dense", 2), ("text", 2 + 1 + 2), ("second", 2 + 1 + 2)]
)
def test_a_part_alone_is_measured_once_it_is_read(part: str, kept: int) -> None:
    keeper = Remembering()
    measured, _ = _measurer(keeper, dense_reference=DENSE, second_model=TUNED).measure(open_model(resolve(MODEL)))
    given = measured["builtin"]
    assert not keeper.kept and not given.has(part)
    first = getattr(given, part)
    # Each layer; of a text also what is said of it as a whole, and whether the dense model fits.
    assert len(keeper.kept) == kept and given.has(part)
    assert getattr(given, part) is first


def test_nothing_is_measured_twice() -> None:
    keeper = Remembering()
    measurer = _measurer(keeper, model=[MODEL, TUNED], dense_reference=DENSE, second_model=TUNED)
    _read_all(measurer, MODEL)
    first = len(keeper.kept)
    # Each layer of: weights, three matchings, against the dense model, the text, the text through the second.
    assert first == 2 * 7 + 2  # and what is said of a text as a whole
    again = _measurer(keeper, dense_reference=DENSE, second_model=TUNED)
    _read_all(again, MODEL)
    assert len(keeper.kept) == first
    _read_all(measurer, TUNED)  # has run the text as a second model already
    assert len(keeper.kept) == first + 2 * 5
    _read_all(_measurer(keeper, second_model=TUNED), MODEL)
    assert len(keeper.kept) == first + 2 * 5 + 2 * (2 + 1)  # without the dense model, both texts anew


def test_another_dense_model_is_another_measurement() -> None:
    keeper = Remembering()
    one, two = (_measure_with(keeper, dense_reference=f"synthetic:dense?{SIZES}&seed={seed}") for seed in (0, 1))
    assert not np.allclose(one.against_dense.matrix["up"], two.against_dense.matrix["up"])
    assert not np.allclose(one.routed.dense_sums, two.routed.dense_sums)
    np.testing.assert_array_equal(one.routed.chosen, two.routed.chosen)


def _measure_with(keeper: Remembering, **options: Any) -> Measured:
    measured, _ = _measurer(keeper, **options).measure(open_model(resolve(MODEL)))
    return measured["builtin"]


# --- second models that cannot be compared ---------------------------------------------------------


def test_a_second_model_with_another_tokenizer_is_not_comparable() -> None:
    second = f"synthetic:null?{SIZES}"  # has no topics among its words
    given = _measure(second_model=second)
    assert _said(given.second, NotComparableError) == (
        f"'{second}' reads 'builtin' as other tokens than '{MODEL}': "
        "--moe-second-model takes a model with the same tokenizer"
    )
    assert given.routed.layers.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (SIZES.replace("layers=2", "layers=3"), "3 MoE layers, top 2 of 4"),
        (SIZES.replace("experts=4", "experts=5"), "2 MoE layers, top 2 of 5"),
        (f"{SIZES}&top_k=1", "2 MoE layers, top 1 of 4"),
    ],
)
def test_a_second_model_of_another_shape_is_not_comparable(sizes: str, said: str) -> None:
    second = f"synthetic:planted?{sizes}"
    given = _measure(second_model=second)
    assert _said(given.second, NotComparableError) == (
        f"'{second}' ({said}) has not the shape of '{MODEL}' (2 MoE layers, top 2 of 4): "
        "--moe-second-model takes a model of the same architecture"
    )
    assert given.routed.layers.tolist() == [0, 1]


def test_experts_of_another_width_are_still_the_same_experts() -> None:
    wide = f"synthetic:planted?{SIZES.replace('intermediate=8', 'intermediate=12')}"
    check_same_shape(open_model(resolve(MODEL)), open_model(resolve(wide)))
    given = _measure(second_model=wide, dense_reference=DENSE)  # the dense model fits the first alone
    assert given.routed.dense_sums is not None
    assert given.second_routed.dense_sums is None


# --- parts that break ------------------------------------------------------------------------------


def test_a_second_model_that_cannot_be_opened_stops_nothing_else(tmp_path: Path) -> None:
    given = _measure(second_model=str(tmp_path), dense_reference=DENSE)
    assert "has no config.json" in _said(given.second, ModelError)
    assert given.routed.layers.tolist() == [0, 1]
    assert given.against_dense.matrix["up"].shape == (2, 4)


def test_a_second_model_without_tokenizer_stops_nothing_else(saved: Callable[..., Path]) -> None:
    folder = saved("mixtral")
    given = _measure(second_model=str(folder), name=f"{MODEL}&vocabulary=50")
    assert "has no tokenizer" in _said(given.second, ModelError)
    assert given.routed.layers.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["synthetic:planted", "synthetic:dense?colour=1"])
def test_a_dense_model_that_cannot_be_opened_stops_nothing_else(name: str) -> None:
    given = _measure(dense_reference=name)
    assert isinstance(given.dense, ModelError | UsageError)
    assert given.routed.dense_sums is None
    assert given.matched["up"].layers.tolist() == [0, 1]


def test_a_dense_model_of_another_shape_stops_nothing_else() -> None:
    given = _measure(dense_reference=f"synthetic:dense?{SIZES.replace('intermediate=8', 'intermediate=12')}")
    assert "has not the shape of the experts of" in _said(given.dense, NotComparableError)
    assert given.routed.dense_sums is None


def test_a_dense_model_with_damaged_weights_stops_nothing_else(tmp_path: Path) -> None:
    shape = build.shape_of("dense", resolve(DENSE).options)
    weights = build.make_dense(shape)
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = torch.nan
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(build.config_dense(shape)))
    given = _measure(dense_reference=str(tmp_path))
    assert "has NaN or infinite weights in the tensor 'model.layers.1.mlp.up_proj.weight'" in _said(
        given.dense, ModelError
    )
    assert given.routed.dense_sums is None
    assert given.routed.nats.size


def test_layers_that_are_not_there_stop_only_the_matching() -> None:
    given = _measure(layers="7")
    assert isinstance(given.matching, UsageError)
    assert "7" in str(given.matching)
    assert given.routed.layers.tolist() == [0, 1]


def test_a_text_that_cannot_be_read_stops_only_what_needs_it(tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("one passage only")
    measurer = _measurer(text=[str(short), "builtin"], second_model=TUNED, dense_reference=DENSE)
    measured, cards = measurer.measure(open_model(resolve(MODEL)))
    broken, whole = measured[str(short)], measured["builtin"]
    assert isinstance(whole.text, RoutedMeasurement)
    assert [card["name"] for card in cards] == ["builtin"]
    assert _said(broken.text, TextError) == _said(broken.second, TextError)
    assert broken.against_dense.mean["up"].shape == (2, 4)
    assert whole.second_routed.chosen.size
    assert isinstance(whole.texts[str(short)], TextError)


def test_weights_that_cannot_be_measured_stop_what_reads_them(tmp_path: Path) -> None:
    shape = build.shape_of("planted", resolve(MODEL).options)
    weights = build.make("planted", shape)
    weights["model.layers.1.block_sparse_moe.gate.weight"][0, 0] = torch.nan
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(build.config_of(shape)))
    given = _measure(name=str(tmp_path))
    for _ in range(2):  # the error is kept like a measurement
        with pytest.raises(ModelError, match="has NaN or infinite weights"):
            given.weights.matrix  # noqa: B018


def test_forgetful_measures_every_time() -> None:
    made = []

    def measure(missing: Sequence[int]) -> Iterator[Arrays]:
        made.extend(missing)
        return ({} for _ in missing)

    keeper = Forgetful()
    assert keeper.get_or_measure(["one", "two"], measure) == keeper.get_or_measure(["one", "two"], measure) == [{}, {}]
    assert made == [0, 1, 0, 1]
    keeper.snapshot("one").write(3, {})
    assert keeper.snapshot("one").read() is None
