"""A plan against the run: bytes kept are those of the store, bytes read those that sources were asked for."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import NotMeasuredError
from moe_claims.judge.registry import chosen
from moe_claims.measure import matching
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Store
from moe_claims.models.loading import OpenModel, open_model, random_control
from moe_claims.models.storage import safetensors_file
from moe_claims.plan import of_model
from moe_claims.plan.planning import ModelPlan, Plan, plan_of
from moe_claims.plan.stage import Stage
from moe_claims.settings import Settings

PLANTED = "synthetic:planted?layers=7&experts=5&hidden=16&intermediate=16&context=24"
DENSE = "synthetic:dense?layers=7&experts=5&hidden=16&intermediate=16&context=24"
OTHER = PLANTED + "&noise=0.1"


def planned(settings: Settings) -> Plan:
    return plan_of(settings, chosen(settings.packs))


def model_of(plan: Plan) -> ModelPlan:
    (model,) = plan.models
    assert model.error is None
    return model


def stage(model: ModelPlan, name: str) -> Stage:
    (found,) = (one for one in model.stages if one.name == name)
    return found


def kept(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def measure_all(measurer: Measurer, model: OpenModel) -> None:
    """Everything that the settings ask for, on every text."""
    measured, _ = measurer.measure(model)
    for given in measured.values():
        given.made()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (PLANTED, {}),
        (PLANTED, {"profile": "quick"}),
        (PLANTED, {"dense_reference": DENSE, "second_model": OTHER, "text": ["builtin", "builtin-math"]}),
        (PLANTED, {"layers": "0,3", "dtype": "float64"}),
        ("tiny-fine", {"layers": "1", "profile": "quick"}),
        ("tiny-gelu", {"layers": "0", "dtype": "bfloat16", "profile": "quick"}),
    ],
)
def test_what_is_kept_is_what_the_store_then_holds(
    model: str, options: dict[str, Any], settings_of: Callable[..., Settings]
) -> None:
    settings = settings_of(model, **options)
    foreseen = model_of(planned(settings)).whole.keeps
    assert not settings.cache.exists()
    opened = open_model(settings.models[0])
    measurer = Measurer(settings, Store(settings.cache))
    measure_all(measurer, opened)
    if settings.controls:
        measure_all(measurer, random_control(opened))
    assert foreseen == pytest.approx(kept(settings.cache), rel=0.02)


@pytest.mark.parametrize("texts", [["builtin"], ["builtin", "builtin-math"]])
def test_what_is_read_is_what_files_are_asked_for(
    texts: list[str], settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of("tiny-fine", layers="1,2", profile="quick", text=texts)
    asked: Counter[str] = Counter()
    inner = safetensors_file._read_piece

    def counted(path: Path, begin: int, into: Any) -> None:
        asked[str(path)] += len(into)
        inner(path, begin, into)

    monkeypatch.setattr(safetensors_file, "_read_piece", counted)
    foreseen = model_of(planned(settings))
    assert asked == {}  # not a single weight
    measure_all(Measurer(settings, Store(settings.cache)), open_model(settings.models[0]))
    assert foreseen.whole.reads == pytest.approx(asked.total(), rel=0.05)


def test_what_is_there_already_is_not_counted_again(settings_of: Callable[..., Settings]) -> None:
    settings = settings_of(profile="quick")
    first = model_of(planned(settings))
    measure_all(Measurer(settings, Store(settings.cache)), open_model(settings.models[0]))
    before = kept(settings.cache)
    again = model_of(planned(settings))
    assert kept(settings.cache) == before
    assert again.whole.keeps == 0 < first.whole.keeps
    assert stage(again, "weights").operations == 0 < stage(first, "weights").operations
    assert "7 of 7 parts are there already" in stage(again, "weights").note
    # A text more is all that is left to do.
    more = settings_of(profile="quick", text=["builtin", "builtin-math"])
    assert [one.name for one in model_of(planned(more)).stages if one.keeps] == ["text builtin-math"]
    # A file without its checksum counts as missing, as it does in a run.
    next(settings.cache.glob("*.sha256")).unlink()
    assert model_of(planned(settings)).whole.keeps > 0


def test_of_weights_in_a_folder_nobody_knows_what_is_there(settings_of: Callable[..., Settings]) -> None:
    settings = settings_of("tiny-fine", profile="quick", layers="1")
    first = model_of(planned(settings)).whole.keeps
    measure_all(Measurer(settings, Store(settings.cache)), open_model(settings.models[0]))
    assert model_of(planned(settings)).whole.keeps == first  # only a hash of all weights would tell


def test_parts_that_are_not_measured_say_why(
    settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise NotMeasuredError("it would take about 3 days here")

    for module in (matching, of_model):
        monkeypatch.setattr(module, "layers_to_match", refuse)
    monkeypatch.setattr("moe_claims.plan.planning.layers_to_match", refuse)
    wide = "synthetic:dense?layers=7&experts=5&hidden=16&intermediate=32&context=24"
    model = model_of(planned(settings_of(profile="quick", dense_reference=wide, second_model="tiny-fine")))
    assert stage(model, "neurons matched").note == "not measured: it would take about 3 days here"
    assert "has not the shape of the experts" in stage(model, "dense reference").note
    assert "has not the shape of" in stage(model, "second model").note
    assert stage(model, "random-init control").note == "not measured: --moe-profile quick"
    assert all(stage(model, name).keeps == 0 for name in ("neurons matched", "dense reference", "second model"))
    said = {one.key: (one.outcome, one.reason) for one in model.claims}
    assert said["look_into_moes/neuron-order[up]"] == ("not measured", "it would take about 3 days here")
    assert said["look_into_moes/dense-reference[mean act]"][0] == "not applicable"


def test_a_model_that_cannot_be_opened_takes_nothing_from_the_others(
    settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    plan = planned(settings_of(str(tmp_path / "broken"), PLANTED, profile="quick"))
    broken, whole = plan.models
    assert broken.error is not None and "config.json" in broken.error
    assert whole.error is None and len(whole.stages) > 5


def test_a_longer_text_and_more_layers_take_more_of_everything(settings_of: Callable[..., Settings]) -> None:
    short = model_of(planned(settings_of(profile="quick", tokens=100)))
    longer = model_of(planned(settings_of(profile="quick", tokens=400)))
    name = "text builtin"
    assert stage(longer, name).operations > 3.9 * stage(short, name).operations
    assert stage(longer, name).keeps > stage(short, name).keeps
    assert stage(longer, name).needs > stage(short, name).needs
    deep = model_of(planned(settings_of(PLANTED.replace("layers=7", "layers=14"), profile="quick", tokens=100)))
    for name in ("weights", "neurons matched"):
        assert stage(deep, name).operations == 2 * stage(short, name).operations
        assert stage(deep, name).keeps == 2 * stage(short, name).keeps
