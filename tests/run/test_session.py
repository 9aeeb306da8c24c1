"""A whole run of the bench: parts that fail never take the rest with them, and the report names what was compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import ModelError
from moe_claims.judge.evaluate import Judged
from moe_claims.judge.registry import LIVE
from moe_claims.models import dense, loading
from moe_claims.models.names import ModelRef, resolve
from moe_claims.models.storage.location import Location
from moe_claims.run.session import Bench, environment
from moe_claims.settings import settings_from
from moe_claims.types import Verdict

SIZES = "layers=2&experts=4&hidden=16&intermediate=8&context=12"
MODEL, DENSE = f"synthetic:planted?{SIZES}", f"synthetic:dense?{SIZES}"
ROWS = {key for claim in LIVE.values() for key in claim.row_keys()}


@pytest.fixture(scope="module")
def bench_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bench]:
    """(**options) → a bench; measurements are kept from test to test."""
    cache = str(tmp_path_factory.mktemp("cache"))

    def make(**options: Any) -> Bench:
        values = {"model": [MODEL], "tokens": "200", "device": "cpu", "cache": cache, "profile": "quick"}
        return Bench(settings_from(values | {name.replace("_", "-"): value for name, value in options.items()}))

    return make


def _keys(judged: Judged) -> set[str]:
    return {row.claim if row.variant is None else f"{row.claim}[{row.variant}]" for row in judged.results}


def _row(judged: Judged, claim: str, variant: str | None, text: str | None) -> Any:
    row = judged.find(claim, variant, text)
    assert not isinstance(row, str), row
    return row


def test_every_row_is_judged_or_said_to_be_broken(bench_of: Callable[..., Bench]) -> None:
    judged = bench_of(dense_reference=DENSE, second_model=MODEL).judged(resolve(MODEL))
    assert judged.errors == {}
    assert _keys(judged) == ROWS
    assert len(judged.results) == len(ROWS)
    assert _row(judged, "tuning-keeps-routing", None, "builtin").effect == 1
    for variant in LIVE["dense-reference"].variants:
        text = "builtin" if variant == "outputs" else None
        assert _row(judged, "dense-reference", variant, text).verdict != Verdict.NOT_APPLICABLE


def test_what_was_not_asked_for_does_not_apply(bench_of: Callable[..., Bench]) -> None:
    judged = bench_of().judged(resolve(MODEL))
    assert judged.errors == {}
    assert "--moe-second-model" in _row(judged, "tuning-keeps-routing", None, "builtin").reason
    for variant in LIVE["dense-reference"].variants:
        row = _row(judged, "dense-reference", variant, "builtin" if variant == "outputs" else None)
        assert (row.verdict, row.effect) == (Verdict.NOT_APPLICABLE, None)
        assert "--moe-dense-reference" in row.reason


def test_broken_references_are_errors_of_their_own_rows(bench_of: Callable[..., Bench], tmp_path: Path) -> None:
    judged = bench_of(dense_reference=str(tmp_path), second_model=str(tmp_path), layers="9").judged(resolve(MODEL))
    needing = {f"|dense-reference[{v}]" for v in LIVE["dense-reference"].variants if v != "outputs"}
    needing |= {"builtin|dense-reference[outputs]", "builtin|tuning-keeps-routing"}
    unmatched = {f"|neuron-order[{role}]" for role in ("up", "act", "down")}
    assert set(judged.errors) == needing | unmatched
    assert all("has no config.json" in judged.errors[place] for place in needing)
    assert all("--moe-layers" in judged.errors[place] for place in unmatched)
    assert len(judged.results) == len(ROWS) - len(judged.errors)
    whole = bench_of().judged(resolve(MODEL))
    plain = [row for row in whole.results if _place(row) not in judged.errors]
    assert [(row.claim, row.effect, row.p_value) for row in judged.results] == [
        (row.claim, row.effect, row.p_value) for row in plain
    ]


def _place(row: Any) -> str:
    key = row.claim if row.variant is None else f"{row.claim}[{row.variant}]"
    return f"{row.corpus or ''}|{key}"


def test_a_text_that_cannot_be_read_leaves_the_claims_on_weights(
    bench_of: Callable[..., Bench], tmp_path: Path
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("one passage only")
    judged = bench_of(text=[str(short)], dense_reference=DENSE, second_model=MODEL).judged(resolve(MODEL))
    assert {row.corpus for row in judged.results} == {None}
    assert all("too short" in message for message in judged.errors.values())
    on_text = {key for claim in LIVE.values() for key in claim.row_keys() if f"{short}|{key}" in judged.errors}
    assert _keys(judged) | on_text == ROWS


def test_two_models_in_one_run_share_the_references(bench_of: Callable[..., Bench]) -> None:
    other = f"synthetic:planted?{SIZES}&seed=1"
    wide = f"synthetic:planted?{SIZES.replace('intermediate=8', 'intermediate=12')}"
    bench = bench_of(model=[MODEL, other, wide], dense_reference=DENSE, second_model=MODEL)
    first, second, third = (bench.judged(ref) for ref in bench.settings.models)
    assert first.errors == second.errors == third.errors == {}
    assert bench.judged(resolve(MODEL)) is first
    assert [bench.card(ref)["name"] for ref in bench.settings.models] == [MODEL, other, wide]
    assert [card["model"] for ref in bench.settings.models for card in bench.corpora(ref)] == [MODEL, other, wide]
    effects = {_row(judged, "tuning-keeps-routing", None, "builtin").effect for judged in (first, second)}
    assert len(effects) == 2
    row = _row(third, "dense-reference", "matrix up", None)
    assert row.verdict == Verdict.NOT_APPLICABLE
    assert "has not the shape of the experts of" in row.reason


def test_random_control_is_judged_with_the_same_references(bench_of: Callable[..., Bench]) -> None:
    judged = bench_of(profile="full", dense_reference=DENSE, second_model=MODEL).judged(resolve(MODEL))
    assert judged.errors == {}
    controls = {_place(row): row.controls["random_init"] for row in judged.results}
    assert len(controls) == len(ROWS)
    assert controls["|dense-reference[matrix up]"]["verdict"] != Verdict.NOT_APPLICABLE
    assert controls["builtin|tuning-keeps-routing"]["effect"] < 0.5


def test_a_control_that_cannot_be_made_leaves_the_verdicts(
    bench_of: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_LARGEST_CONTROL", 10)
    judged = bench_of(profile="full").judged(resolve(MODEL))
    assert _keys(judged) == ROWS
    for row in judged.results:
        assert row.controls["random_init"]["verdict"] is None
        assert "which would take hours to make" in row.controls["random_init"]["reason"]


def test_a_model_that_cannot_be_opened_says_so_every_time(bench_of: Callable[..., Bench], tmp_path: Path) -> None:
    bench = bench_of(model=[str(tmp_path), MODEL])
    broken, whole = bench.settings.models
    said = []
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            bench.judged(broken)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "has no config.json" in said[0]
    assert _keys(bench.judged(whole)) == ROWS


@pytest.mark.parametrize("download", [True, False])
def test_download_reaches_every_model_of_the_hub(
    download: bool, bench_of: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, bool] = {}

    def location_of(ref: ModelRef, *, download: bool) -> Location:
        asked[ref.name] = download
        raise ModelError(f"no {ref.name} here")

    for module in (loading, dense):
        monkeypatch.setattr(module, "location_of", location_of)
    others = {"dense_reference": "hub:org/dense", "second_model": "hub:org/second"}
    bench = bench_of(model=["hub:org/first", MODEL], download=download, **others)
    with pytest.raises(ModelError, match="no hub:org/first here"):
        bench.judged(bench.settings.models[0])
    bench.judged(resolve(MODEL))
    assert asked == dict.fromkeys(("hub:org/first", "hub:org/dense", "hub:org/second"), download)


def test_environment_names_what_was_compared() -> None:
    values = {"model": [MODEL], "dense-reference": DENSE, "second-model": "mixtral@main", "layers": "3,1"}
    found = environment(settings_from(values))
    assert (found["dense_reference"], found["second_model"], found["layers"]) == (DENSE, "mixtral@main", "1,3")
    plain = environment(settings_from({"model": [MODEL]}))
    assert (plain["dense_reference"], plain["second_model"], plain["layers"]) == (None, None, None)
    assert all(isinstance(value, str | int | float | bool | None) for value in (found | plain).values())
