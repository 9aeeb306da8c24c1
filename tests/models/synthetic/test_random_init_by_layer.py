"""Fresh models made layer by layer are what transformers makes at once, in distribution, for every family."""

from typing import Any

import numpy as np
import pytest
import torch

from moe_claims.errors import ModelError
from moe_claims.measure.routed import measure_routed
from moe_claims.measure.weights import measure_weights
from moe_claims.models import loading
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.families.table import FAMILIES
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import OpenModel, random_control
from moe_claims.models.names import ModelRef
from moe_claims.models.synthetic import random_init_by_layer
from moe_claims.models.synthetic.random_init import initialise
from moe_claims.models.synthetic.random_init_by_layer import RandomInitSource

RUN = [name for name, row in FAMILIES.items() if not row.weights_only]


@pytest.mark.parametrize("model_type", RUN)
def test_every_tensor_is_drawn_as_transformers_draws_it(
    model_type: str, opened: Any, other_than_the_table: str
) -> None:
    checkpoint = opened(model_type, True)
    at_once = initialise(checkpoint.config, seed=1, of=checkpoint)
    source = RandomInitSource(checkpoint.config, seed=1, of=checkpoint)
    assert source.names() == set(at_once)
    constants = 0
    for name, theirs in at_once.items():
        ours = _made_or_skipped(source, name, other_than_the_table)
        assert (source.shape(name), ours.dtype) == (tuple(theirs.shape), theirs.dtype)
        spread = float(theirs.double().std(correction=0))
        if spread == 0 or not theirs.is_floating_point():
            assert torch.equal(ours, theirs), name
            constants += 1
        elif theirs.numel() < 64:  # too few to compare, such as the decays of a few heads
            assert ours.isfinite().all() and ours.abs().max() < 100, name
        elif not torch.equal(ours, theirs):  # what follows from the config, such as positions, is drawn by nobody
            error = 5 / (2 * theirs.numel()) ** 0.5
            assert abs(float(ours.double().std(correction=0)) / spread - 1) < 2 * error, name
            assert abs(float(ours.double().mean() - theirs.double().mean())) < 3 * error * spread, name
    assert constants > 2  # norms


def _made_or_skipped(source: RandomInitSource, name: str, other: str) -> torch.Tensor:
    try:
        return source.get(name)
    except ModelError as error:
        if not other:
            raise
        pytest.skip(f"{other}: {error}")


def test_what_transformers_leaves_unsaid_is_an_error(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(opened)
    ordinary = type(source._decoder)._init_weights
    monkeypatch.setattr(
        type(source._decoder),
        "_init_weights",
        lambda self, module: None if "Router" in type(module).__name__ else ordinary(self, module),
    )
    with pytest.raises(ModelError, match=r"does not initialise 'model\.layers\.1\.mlp\.gate\.weight' of a new model"):
        source.get("model.layers.1.self_attn.q_proj.weight")


def _source(opened: Any, seed: int = 1) -> RandomInitSource:
    checkpoint = opened("mixtral", True)
    return RandomInitSource(checkpoint.config, seed=seed, of=checkpoint)


def test_weights_do_not_depend_on_the_order_in_which_they_are_asked_for(opened: Any) -> None:
    one, other = _source(opened), _source(opened)
    names = sorted(one.names())
    backwards = dict(zip(reversed(names), other.get_many(names[::-1]), strict=True))
    assert all(torch.equal(one.get(name), backwards[name]) for name in names)


def test_seed_and_layer_decide(opened: Any) -> None:
    one, other = _source(opened), _source(opened, seed=100)
    routers = [f"model.layers.{layer}.mlp.gate.weight" for layer in (0, 1)]
    assert not torch.equal(one.get(routers[0]), one.get(routers[1]))
    assert not torch.equal(one.get(routers[0]), other.get(routers[0]))


def test_large_tensors_are_given_away(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_init_by_layer, "_SMALL", 300)
    source = _source(opened)
    experts, router = (f"model.layers.1.mlp.{name}" for name in ("experts.down_proj", "gate.weight"))
    first = source.get(experts)
    assert experts not in source._made and router in source._made
    source.get("model.layers.2.mlp.experts.down_proj")
    assert {name for name in source._made if source._made[name].numel() > 300}.isdisjoint(
        name for name in source.names() if name.startswith("model.layers.1.")
    )
    assert router in source._made  # whoever runs layer 1 may ask for it while the next is made
    assert torch.equal(source.get(experts), first)


def test_a_name_that_is_none(opened: Any) -> None:
    for call in ("get", "shape"):
        with pytest.raises(KeyError, match=r"model\.layers\.9"):
            getattr(_source(opened), call)("model.layers.9.mlp.gate.weight")


def test_random_state_is_put_back(opened: Any) -> None:
    checkpoint = opened("mixtral", True)
    state = torch.random.get_rng_state()
    RandomInitSource(checkpoint.config, seed=1, of=checkpoint).get("model.norm.weight")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_large_control_is_measured_layer_by_layer(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = OpenModel(ModelRef("m", "directory", "x"), opened("mixtral", True), None, None, 64)
    small = random_control(model)
    monkeypatch.setattr(loading, "_IN_MEMORY", 10)
    large = random_control(model)
    assert large.identity == f"fresh, seed {loading.CONTROL_SEED}" != small.identity
    ours, theirs = (measure_weights(control.checkpoint) for control in (large, small))
    assert ours.router.shape == theirs.router.shape
    assert not np.array_equal(ours.router, theirs.router)
    assert measure_routed(LayerwiseModel(large.checkpoint), [[5, 6, 7]]).layers.tolist() == [0, 1, 2, 3]
    assert isinstance(large.checkpoint, Checkpoint)
