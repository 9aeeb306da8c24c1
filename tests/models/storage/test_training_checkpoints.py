"""Checkpoints in few bits: how near they come, what is exact, and what a damaged file says."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from moe_claims._util.optional import repair
from moe_claims.errors import ModelError
from moe_claims.models.embedded import embedded_directory, point_file, points_of
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.models.storage.training_checkpoints import (
    EXPERT_STEP,
    NOTE,
    OTHER_STEP,
    Floats,
    decode,
    encode,
    finished,
    is_coded,
    read,
    save,
)

SHAPES = {
    "model.embed_tokens.weight": (40, 16),
    "model.layers.0.block_sparse_moe.experts.0.w1.weight": (24, 16),
    "model.layers.0.block_sparse_moe.experts.1.w1.weight": (24, 16),
    "model.layers.0.block_sparse_moe.gate.weight": (2, 16),
    "model.norm.weight": (16,),
}


def drawn(seed: int, scale: float = 0.05) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    return {name: scale * rng.standard_normal(shape, dtype=np.float32) for name, shape in SHAPES.items()}


def errors(weights: Mapping[str, Floats], back: Mapping[str, Floats]) -> dict[str, float]:
    return {name: float(np.linalg.norm(back[name] - w) / np.linalg.norm(w)) for name, w in weights.items()}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 10), st.floats(0, 1))
def test_errors_are_those_of_rounding_to_steps_whatever_follows(seed: int, scale: float, alike: float) -> None:
    other = drawn(seed + 1, scale)
    weights = {name: alike * other[name] + (1 - alike) * w for name, w in drawn(seed, scale).items()}
    for name, error in errors(weights, decode(encode(weights, other), other)).items():
        bound = EXPERT_STEP / 2 if "experts" in name else OTHER_STEP / 2 if is_coded(name, weights[name]) else 1e-3
        assert error <= bound + 1e-6, name


def test_errors_are_as_large_as_the_note_says() -> None:
    shapes = {"experts.0.w1.weight": (300, 300), "attention.weight": (300, 300)}
    rng = np.random.default_rng(0)
    one, two = ({name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()} for _ in range(2))
    found = errors(one, decode(encode(one, two), two))
    assert found["experts.0.w1.weight"] == pytest.approx(EXPERT_STEP / 12**0.5, rel=0.02)
    assert found["attention.weight"] == pytest.approx(OTHER_STEP / 12**0.5, rel=0.02)
    assert "6% of the weights in experts, 3% in other matrices" in NOTE


def test_what_changes_little_takes_few_bytes() -> None:
    other, new = drawn(1), drawn(2)
    near = {name: w + np.float32(0.05) * new[name] for name, w in other.items()}
    assert encode(near, other)["codes"].nbytes < 0.6 * encode(new, other)["codes"].nbytes


def test_weights_too_far_from_what_follows_are_refused() -> None:
    other = drawn(1)
    weights = dict(other)
    spiked = np.zeros((24, 16), np.float32)
    spiked[0, 0] = 1.0
    name = "model.layers.0.block_sparse_moe.experts.0.w1.weight"
    weights[name] = spiked * 1e3 + 1e-9
    assert np.isfinite(decode(encode(weights, other), other)[name]).all()
    wide = dict(SHAPES) | {name: (4000, 100)}
    other[name] = np.zeros(wide[name], np.float32)
    weights[name] = np.zeros(wide[name], np.float32)
    weights[name][0, 0] = 1.0
    with pytest.raises(ValueError, match=r"is 2875 steps from the next point; at most 127 can be stored"):
        encode(weights, other)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished model and two points before it, each kept as its difference from the next."""
    following = drawn(9)
    save_file(following, tmp_path / "model.safetensors")
    (tmp_path / "points").mkdir()
    for step in (20, 5):
        parts = encode(drawn(step), following)
        save(point_file(tmp_path, step), parts, following)
        following = decode(parts, following)
    return tmp_path


def test_a_point_is_read_through_those_after_it(folder: Path) -> None:
    assert points_of(folder) == [5, 20]
    for step in (5, 20):
        assert max(errors(drawn(step), read(folder, step)).values()) < EXPERT_STEP / 2
    assert max(errors(drawn(9), finished(folder)).values()) == 0


@pytest.mark.parametrize("damage", ["cut", "other", "lacking", "noise", "unsaid"])
def test_a_damaged_point_is_one_line(folder: Path, damage: str) -> None:
    path = point_file(folder, 20)
    following = drawn(9)
    parts = encode(drawn(20), following)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "other":
        save(path, {**parts, "plain": parts["plain"][:-1]}, following)
    elif damage == "lacking":
        save(path, {name: part for name, part in parts.items() if name != "steps"}, following)
    else:
        save(path, {**parts, "codes": parts["codes"][::-1].copy()}, following)
    if damage == "unsaid":
        save_file(parts, path)
    with pytest.raises(ModelError, match=rf"^'{path}' does not belong to this model's training: .*; {repair()}$"):
        read(folder, 5)


@pytest.mark.parametrize("change", ["missing", "between", "finished"])
def test_a_point_is_read_from_what_it_was_made_of_or_not_at_all(folder: Path, change: str) -> None:
    if change == "missing":
        point_file(folder, 20).unlink()
    elif change == "between":
        save(point_file(folder, 10), encode(drawn(10), drawn(9)), drawn(9))
    else:
        save_file(drawn(11), folder / "model.safetensors")
    with pytest.raises(ModelError, match="it is the difference from other weights than those of the next point"):
        read(folder, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_kept(value: float) -> None:
    weights = drawn(1)
    weights["model.norm.weight"][3] = value
    with pytest.raises(ValueError, match=r"'model.norm.weight' holds NaN or infinite weights"):
        encode(weights, drawn(2))


def test_a_damaged_finished_model_is_one_line(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelError, match=rf"^the finished model in '{folder}' cannot be read: .*; {repair()}$"):
        read(folder, 5)


def test_a_point_that_is_not_there_is_not_replaced_by_the_next(folder: Path) -> None:
    with pytest.raises(ModelError, match=rf"^'{point_file(folder, 7)}' is missing: {repair()}$"):
        read(folder, 7)


# --- what ships -----------------------------------------------------------------------------------

SHIPPED = embedded_directory("tiny-scratch")


def test_the_points_that_ship_are_at_least_eight_with_the_finished_model_and_small() -> None:
    steps = points_of(SHIPPED)
    recorded = json.loads((SHIPPED / "recipe.json").read_text())["recipe"]
    assert [*steps, recorded["steps"]] == recorded["points"]
    assert len(steps) + 1 >= 8
    assert sum(point_file(SHIPPED, step).stat().st_size for step in steps) < 10e6


def test_training_moves_away_from_the_first_point_step_by_step() -> None:
    last, name = finished(SHIPPED), "model.layers.5.block_sparse_moe.experts.3.w1.weight"
    assert last.keys() == read(SHIPPED, points_of(SHIPPED)[0]).keys()
    apart = [float(np.linalg.norm(read(SHIPPED, step)[name] - last[name])) for step in points_of(SHIPPED)]
    assert apart[-1] == min(apart)


def test_a_point_opens_as_a_model_that_says_what_it_is() -> None:
    model = open_model(resolve(f"tiny-scratch@step{points_of(SHIPPED)[2]}"))
    whole = open_model(resolve("tiny-scratch"))
    assert model.checkpoint.sha256 != whole.checkpoint.sha256
    assert (model.card()["note"], whole.card()["note"]) == (NOTE, None)
    assert model.encoder()("The sea.") == whole.encoder()("The sea.")
    last = json.loads((SHIPPED / "recipe.json").read_text())["recipe"]["steps"]
    assert open_model(resolve(f"tiny-scratch@step{last}")).checkpoint.sha256 == whole.checkpoint.sha256
