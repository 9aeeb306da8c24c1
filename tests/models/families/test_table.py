"""The family table, row by row: small random models of each family's own class against transformers itself."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moe_claims.errors import ModelError
from moe_claims.measure.routed import measure_routed, routed_layers
from moe_claims.models.families import own
from moe_claims.models.families.table import FAMILIES, ROLES, family_of
from moe_claims.models.forward.batches import micro_batches, pad
from moe_claims.models.forward.experts_adapters import adapt_experts
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import OpenModel, random_control
from moe_claims.models.names import ModelRef

EXPERTS, TOP_K = 8, 2
RUN = [model_type for model_type, row in FAMILIES.items() if not row.weights_only]


def test_nothing_is_skipped_with_the_transformers_that_the_table_was_made_with(other_than_the_table: str) -> None:
    from transformers import CONFIG_MAPPING

    if other_than_the_table:
        pytest.skip(other_than_the_table)
    own.register()
    assert set(FAMILIES) <= set(CONFIG_MAPPING)


@pytest.mark.newest
@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_newest_transformers_makes_a_small_model_of_every_family(model_type: str, opened: Any) -> None:
    try:
        opened(model_type, True)
    except pytest.skip.Exception as skipped:
        pytest.fail(str(skipped))


# --- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", FAMILIES)
def test_rows_are_whole(model_type: str) -> None:
    row = FAMILIES[model_type]
    assert row.model_type == model_type
    assert [row.matrix(role) for role in ROLES] == [row.up, row.act, row.down]
    assert len({row.up, row.act, row.down}) == 3
    config = {"model_type": model_type, **({row.switch: True} if row.switch else {})}
    assert family_of(config, "m") is row


@pytest.mark.parametrize("original", [True, False], ids=["original", "fused"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_weights_are_read_by_role(model_type: str, original: bool, made: Any, opened: Any) -> None:
    # Shapes cannot tell up from act; the models' own code can: the first half is under the activation function.
    model, checkpoint = made(model_type), opened(model_type, original)
    weights, row = model.state_dict(), FAMILIES[model_type]
    assert (checkpoint.experts, checkpoint.top_k) == (EXPERTS, TOP_K)
    modules = {name: module for name, module in model.named_modules() if name.endswith(f".{row.experts_module}")}
    assert [f"{row.layers}.{layer}.{row.experts_module}" for layer in checkpoint.moe_layers] == list(modules)
    for layer, experts in zip(checkpoint.moe_layers, modules.values(), strict=True):
        router = weights[f"{row.layers}.{layer}.{row.router_module}.weight"][:EXPERTS]  # others are of shared experts
        assert torch.equal(checkpoint.router(layer), router)
        at_once = dict(checkpoint.matrices(layer))
        for role, matrix in zip(ROLES, _matrices(experts), strict=True):
            assert torch.equal(checkpoint.matrix(layer, role), matrix) and torch.equal(at_once[role], matrix)
            assert checkpoint.shape(layer, role) == tuple(matrix.shape)


def _matrices(module: Any) -> list[torch.Tensor]:
    """Up, act and down of all experts, by what the module says of its own layout, not by what the table says."""
    experts = adapt_experts(deepcopy(module))
    transposed = getattr(experts, "is_transposed", type(module).__name__ == "Llama4TextExperts")
    matrices = []
    for expert in range(EXPERTS):
        both, down = (of[expert].T if transposed else of[expert] for of in (experts.gate_up_proj, experts.down_proj))
        apart = both.chunk(2) if getattr(experts, "is_concatenated", True) else (both[::2], both[1::2])
        matrices.append((apart[1], apart[0], down))
    return [torch.stack(of_role) for of_role in zip(*matrices, strict=True)]


# --- running them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "original",
    [
        pytest.param(False, id="fused", marks=pytest.mark.numerics),
        # The same weights by role, as the tests above show; their way into the module is another.
        pytest.param(True, id="original", marks=pytest.mark.campaign("long")),
    ],
)
@pytest.mark.parametrize("model_type", RUN)
def test_logits_are_those_of_transformers(model_type: str, original: bool, made: Any, opened: Any, texts: Any) -> None:
    replay = LayerwiseModel(opened(model_type, original))
    alone = FAMILIES[model_type].alone
    batches = [pad(texts, *bounds, "cpu") for bounds in micro_batches(texts, tokens=30, alone=alone)]
    assert alone == all(batch.mask.all() for batch in batches)
    for sequence, hidden in zip(texts, replay.run(batches), strict=True):
        with torch.inference_mode():
            theirs = made(model_type)(input_ids=torch.tensor([sequence]), use_cache=False).logits[0]
        ours = replay.logits(hidden)
        assert float((ours - theirs).abs().max() / theirs.abs().max()) <= 1e-4


@pytest.mark.parametrize("model_type", RUN)
def test_chosen_experts_are_those_of_transformers(model_type: str, made: Any, opened: Any, texts: Any) -> None:
    model = made(model_type)
    measured = measure_routed(LayerwiseModel(opened(model_type, True)), texts)
    theirs = _choices(model, model_type, texts, measured.layers)
    assert np.sort(measured.chosen).shape == theirs.shape
    if not np.array_equal(np.sort(measured.chosen), theirs):
        # Other shapes of products are rounded otherwise, and more or less so by processor: scores may tie within it.
        decided = _decided(model, model_type, texts, measured.layers, theirs)
        assert decided.mean() > 0.9
        assert np.array_equal(np.sort(measured.chosen)[decided], theirs[decided])
    assert all(np.isfinite(values).all() for values in measured.arrays().values())


def _choices(model: Any, model_type: str, texts: Any, layers: Any) -> np.ndarray[Any, Any]:
    """(L, T, k) experts that transformers chooses, sequence by sequence, in the order of their numbers."""
    row = FAMILIES[model_type]
    theirs: dict[int, list[torch.Tensor]] = {}

    def note(layer: int) -> Callable[..., None]:
        return lambda _, inputs, named, returned: theirs.setdefault(layer, []).append(
            _chosen(inputs, named, returned).reshape(-1, TOP_K)
        )

    seen = "mlp.router" if model_type == "jetmoe" else row.experts_module
    handles = [
        model.get_submodule(f"{row.layers}.{layer}.{seen}").register_forward_hook(note(int(layer)), with_kwargs=True)
        for layer in layers
    ]
    with torch.inference_mode():
        for sequence in texts:
            model(input_ids=torch.tensor([sequence]), use_cache=False)
    for handle in handles:
        handle.remove()
    return np.sort(np.stack([torch.cat(theirs[int(layer)]).numpy() for layer in layers]))


def _decided(model: Any, model_type: str, texts: Any, layers: Any, theirs: Any) -> np.ndarray[Any, Any]:
    """(L, T) whether a choice is one of the model's, and not of rounding.

    What is computed in float32 is what exact arithmetic would yield for weights that differ a little: by the rounding
    of a product over d numbers, ε √d, in each of the layers before. Here d is 64 at most and ε is 1.2e-7, which makes
    1e-6 for one product; choices that ten times as much in all weights leaves alone, however it is drawn, are decided.
    """
    decided = np.ones(theirs.shape[:2], dtype=bool)
    for seed in range(8):
        other, generator = deepcopy(model), torch.Generator().manual_seed(seed)
        for parameter in other.parameters():
            parameter.data.mul_(1 + 1e-5 * torch.randn(parameter.shape, generator=generator))
        decided &= (_choices(other, model_type, texts, layers) == theirs).all(axis=-1)
    return decided


@pytest.mark.parametrize("model_type", ["mixtral", "jetmoe"])
def test_choices_that_rounding_does_not_decide_are_nearly_all(model_type: str, made: Any, texts: Any) -> None:
    # And a router whose rows are all alike decides nothing.
    model, layers = made(model_type), [1, 2]
    theirs = _choices(model, model_type, texts, layers)
    assert _decided(model, model_type, texts, layers, theirs).mean() > 0.9
    blind = deepcopy(model)
    for layer in layers:
        gate = blind.get_submodule(f"{FAMILIES[model_type].layers}.{layer}.{FAMILIES[model_type].router_module}")
        gate.weight.data[:] = gate.weight.data[:1]
    tied = _choices(blind, model_type, texts, layers)
    assert _decided(blind, model_type, texts, layers, tied).mean() < 0.1


def _chosen(inputs: tuple[Any, ...], named: dict[str, Any], returned: Any) -> torch.Tensor:
    """What an experts module was given, or what a router that sorts tokens by expert returned."""
    if isinstance(returned, torch.Tensor):
        chosen: torch.Tensor = named["top_k_index"] if "top_k_index" in named else inputs[1]
        return chosen
    _, token, _, tokens_of, _ = returned
    return torch.arange(EXPERTS).repeat_interleave(torch.tensor(tokens_of))[token.argsort(stable=True)]


def _every_third_now() -> list[Any]:
    """All families, two of three left to a campaign: what is asked depends on the replay more than on the family."""
    return [
        model_type if number % 3 == 0 else pytest.param(model_type, marks=pytest.mark.campaign("long"))
        for number, model_type in enumerate(RUN)
    ]


@pytest.mark.parametrize("model_type", _every_third_now())
def test_a_run_goes_on_behind_any_layer_unless_layers_share_more(model_type: str, opened: Any, texts: Any) -> None:
    model, row = LayerwiseModel(opened(model_type, True)), FAMILIES[model_type]
    batches = [pad(texts, *bounds, "cpu") for bounds in micro_batches(texts, tokens=30, alone=row.alone)]
    first, second, *_, last = model.steps(batches)
    if not row.shares:
        for state in (first, second):
            *_, again = model.steps(batches, start=state)
            assert all(torch.equal(*pair) for pair in zip(again.hidden, last.hidden, strict=True))


@pytest.mark.parametrize("model_type", [name for name in RUN if FAMILIES[name].shares])
def test_a_run_of_layers_that_share_more_is_not_gone_on_with(model_type: str, opened: Any, texts: Any) -> None:
    class Forbidden:
        def _fail(self, *_: Any) -> None:
            raise AssertionError("its snapshot would lack what layers share")

        read = write = drop = _fail

    model = LayerwiseModel(opened(model_type, True))
    layers = model.checkpoint.moe_layers
    assert len(list(routed_layers(model, texts[:2], layers, snapshot=Forbidden()))) == len(layers) + 1


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_has_a_fresh_control(model_type: str, opened: Any) -> None:
    model = OpenModel(ModelRef(model_type, "directory", "x"), opened(model_type, True), None, None, 64)
    control = random_control(model).checkpoint
    assert (control.moe_layers, control.experts) == (model.checkpoint.moe_layers, EXPERTS)
    for role in ROLES:
        fresh, own = (of.matrix(control.moe_layers[0], role) for of in (control, model.checkpoint))
        assert fresh.shape == own.shape and fresh.isfinite().all() and not torch.equal(fresh, own)
    if model_type in RUN:
        hidden = LayerwiseModel(control).run([pad([[3, 4, 5]], 0, 1, "cpu")])
        assert hidden[0].isfinite().all()


def test_a_control_has_the_table_of_experts_for_each_token(opened: Any) -> None:
    model = OpenModel(ModelRef("deepseek_v4", "directory", "x"), opened("deepseek_v4", True), None, None, 64)
    control = random_control(model).checkpoint
    for layer in (0, 1):
        fresh = control.get(f"model.layers.{layer}.mlp.gate.tid2eid")
        assert torch.equal(fresh, model.checkpoint.get(f"layers.{layer}.ffn.gate.tid2eid"))
        assert len(fresh.unique()) == EXPERTS


@pytest.mark.parametrize("model_type", [model_type for model_type in FAMILIES if model_type not in RUN])
def test_what_cannot_be_run_says_why(model_type: str, opened: Any) -> None:
    with pytest.raises(ModelError) as caught:
        LayerwiseModel(opened(model_type, True))
    reason = FAMILIES[model_type].weights_only
    assert str(caught.value) == f"'{model_type}' cannot be run: {reason}; only its weights can be measured"


# --- models that are turned away -------------------------------------------------------------------


@pytest.mark.parametrize("model_type", FAMILIES)
def test_an_activation_that_a_config_leaves_out_is_the_default_of_transformers(model_type: str) -> None:
    from transformers import CONFIG_MAPPING

    own.register()
    if model_type not in CONFIG_MAPPING:
        pytest.skip("not in this transformers")
    config = CONFIG_MAPPING[model_type]()
    text = config.get_text_config()
    said = [getattr(text, key, None) for key in ("hidden_act", "hidden_activation", "activation_function")]
    assert next(filter(None, said), "silu") == FAMILIES[model_type].activation


def test_dense_model_given_as_moe() -> None:
    from transformers import MistralConfig

    expected = "'dense' is a dense model (model_type 'mistral', no experts in its config): give an MoE"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of(MistralConfig().to_dict(), "dense")


def test_unknown_family() -> None:
    expected = (
        "'m' has model_type 'internvl', which cannot be read yet: 'python -m moe_claims models' names the "
        f"{len(FAMILIES)} families that can"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({"model_type": "internvl", "text_config": {"num_experts": 16}}, "m")


def test_family_that_is_left_out() -> None:
    expected = "'m' has model_type 'nemotron_h', which is not read: its experts have no gate: there is no W_act"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({"model_type": "nemotron_h", "n_routed_experts": 8}, "m")


def test_dense_model_of_a_family_that_also_has_moes() -> None:
    expected = "'m' is a dense model (model_type 'gemma4', no experts in its config): give an MoE"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({"model_type": "gemma4", "text_config": {"enable_moe_block": False, "num_experts": None}}, "m")


def test_config_that_names_no_family() -> None:
    expected = "'m' is a dense model (model_type '(none)', no experts in its config): give an MoE"
    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        family_of({}, "m")


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/reference.md"])
def test_pages_say_how_many_families_there_are(page: str) -> None:
    text = (Path(__file__).parents[3] / page).read_text(encoding="utf-8")
    counted = re.findall(r"(\d+) (?:\[)?families", text)
    assert counted and set(counted) <= {str(len(FAMILIES)), str(len(RUN))}
