"""A whole run of a session: parts that fail never take the rest with them, and the report names what was compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import ModelError
from moe_claims.judge.evaluate import evaluate
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Pack
from moe_claims.judge.trial import Asked
from moe_claims.models import dense, loading
from moe_claims.models.names import ModelRef
from moe_claims.models.storage.location import Location
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.run.document import environment
from moe_claims.run.session import Session
from moe_claims.settings import settings_from
from moe_claims.types import Verdict

SIZES = "layers=2&experts=4&hidden=16&intermediate=8&context=12"
MODEL, DENSE = f"synthetic:planted?{SIZES}", f"synthetic:dense?{SIZES}"
ROWS = {key for claim in LIVE.values() for key in claim.row_keys()}


@pytest.fixture(scope="module")
def session_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Session]:
    """(**options) → a session; measurements are kept from test to test."""
    cache = str(tmp_path_factory.mktemp("cache"))

    def make(**options: Any) -> Session:
        values = {"model": [MODEL], "tokens": "200", "device": "cpu", "cache": cache, "profile": "quick"}
        return Session(settings_from(values | {name.replace("_", "-"): value for name, value in options.items()}))

    return make


def _keys(judged: Judged) -> set[str]:
    return {row.claim if row.variant is None else f"{row.claim}[{row.variant}]" for row in judged.results}


def _row(judged: Judged, claim: str, variant: str | None, text: str | None) -> Any:
    row = judged.find(claim, variant, None, text)
    assert not isinstance(row, str), row
    return row


def test_every_row_is_judged_or_said_to_be_broken(session_of: Callable[..., Session]) -> None:
    judged = session_of(dense_reference=DENSE, second_model=MODEL).judged(PACK, MODEL)
    assert judged.broken == ()
    assert _keys(judged) == ROWS
    assert len(judged.results) == len(ROWS)
    assert _row(judged, "tuning-keeps-routing", None, "builtin").effect == 1
    for variant in LIVE["dense-reference"].variants:
        text = "builtin" if variant == "outputs" else None
        assert _row(judged, "dense-reference", variant, text).verdict != Verdict.NOT_APPLICABLE


def test_what_was_not_asked_for_does_not_apply(session_of: Callable[..., Session]) -> None:
    judged = session_of().judged(PACK, MODEL)
    assert judged.broken == ()
    assert "--moe-second-model" in _row(judged, "tuning-keeps-routing", None, "builtin").reason
    for variant in LIVE["dense-reference"].variants:
        row = _row(judged, "dense-reference", variant, "builtin" if variant == "outputs" else None)
        assert (row.verdict, row.effect) == (Verdict.NOT_APPLICABLE, None)
        assert "--moe-dense-reference" in row.reason


def test_broken_references_are_errors_of_their_own_rows(session_of: Callable[..., Session], tmp_path: Path) -> None:
    judged = session_of(dense_reference=str(tmp_path), second_model=str(tmp_path), layers="9").judged(PACK, MODEL)
    needing = {f"|dense-reference[{v}]" for v in LIVE["dense-reference"].variants if v != "outputs"}
    needing |= {"builtin|dense-reference[outputs]", "builtin|tuning-keeps-routing"}
    unmatched = {f"|neuron-order[{role}]" for role in ("up", "act", "down")}
    broken = {f"{one.corpus or ''}|{one.key}": one.message for one in judged.broken}
    assert set(broken) == needing | unmatched
    assert all("has no config.json" in broken[place] for place in needing)
    assert all("--moe-layers" in broken[place] for place in unmatched)
    assert len(judged.results) == len(ROWS) - len(broken)
    assert judged.find("neuron-order", "up", MODEL, None) == broken["|neuron-order[up]"]
    whole = session_of().judged(PACK, MODEL)
    plain = [row for row in whole.results if _place(row) not in broken]
    assert [(row.claim, row.effect, row.p_value) for row in judged.results] == [
        (row.claim, row.effect, row.p_value) for row in plain
    ]


def _place(row: Any) -> str:
    key = row.claim if row.variant is None else f"{row.claim}[{row.variant}]"
    return f"{row.corpus or ''}|{key}"


def test_a_text_that_cannot_be_read_leaves_the_claims_on_weights(
    session_of: Callable[..., Session], tmp_path: Path
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("one passage only")
    judged = session_of(text=[str(short)], dense_reference=DENSE, second_model=MODEL).judged(PACK, MODEL)
    assert {row.corpus for row in judged.results} == {None}
    assert all("too short" in one.message for one in judged.broken)
    broken = {(one.corpus, one.key) for one in judged.broken}
    on_text = {key for claim in LIVE.values() for key in claim.row_keys() if (str(short), key) in broken}
    assert _keys(judged) | on_text == ROWS


def test_two_models_in_one_run_share_the_references(session_of: Callable[..., Session]) -> None:
    other = f"synthetic:planted?{SIZES}&seed=1"
    wide = f"synthetic:planted?{SIZES.replace('intermediate=8', 'intermediate=12')}"
    session = session_of(model=[MODEL, other, wide], dense_reference=DENSE, second_model=MODEL)
    first, second, third = found = [session.judged(PACK, ref.name) for ref in session.settings.models]
    assert first.broken == second.broken == third.broken == ()
    assert session.judged(PACK, MODEL) is first
    assert [judged.card and judged.card["name"] for judged in found] == [MODEL, other, wide]
    assert [card["model"] for judged in found for card in judged.corpora] == [MODEL, other, wide]
    effects = {_row(judged, "tuning-keeps-routing", None, "builtin").effect for judged in (first, second)}
    assert len(effects) == 2
    row = _row(third, "dense-reference", "matrix up", None)
    assert row.verdict == Verdict.NOT_APPLICABLE
    assert "has not the shape of the experts of" in row.reason


def test_random_control_is_judged_with_the_same_references(session_of: Callable[..., Session]) -> None:
    judged = session_of(profile="full", dense_reference=DENSE, second_model=MODEL).judged(PACK, MODEL)
    assert judged.broken == ()
    controls = {_place(row): row.controls["random_init"] for row in judged.results}
    assert len(controls) == len(ROWS)
    assert controls["|dense-reference[matrix up]"]["verdict"] != Verdict.NOT_APPLICABLE
    assert controls["builtin|tuning-keeps-routing"]["effect"] < 0.5


def test_a_control_that_cannot_be_made_leaves_the_verdicts(
    session_of: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_LARGEST_CONTROL", 10)
    judged = session_of(profile="full").judged(PACK, MODEL)
    assert _keys(judged) == ROWS
    for row in judged.results:
        assert row.controls["random_init"]["verdict"] is None
        assert "which would take hours to make" in row.controls["random_init"]["reason"]


def test_a_model_that_cannot_be_opened_says_so_every_time(session_of: Callable[..., Session], tmp_path: Path) -> None:
    session = session_of(model=[str(tmp_path), MODEL])
    broken, whole = session.settings.models
    said = []
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            session.judged(PACK, broken.name)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "has no config.json" in said[0]
    assert _keys(session.judged(PACK, whole.name)) == ROWS


@pytest.mark.parametrize("download", [True, False])
def test_download_reaches_every_model_of_the_hub(
    download: bool, session_of: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, bool] = {}

    def location_of(ref: ModelRef, *, download: bool) -> Location:
        asked[ref.name] = download
        raise ModelError(f"no {ref.name} here")

    for module in (loading, dense):
        monkeypatch.setattr(module, "location_of", location_of)
    others = {"dense_reference": "hub:org/dense", "second_model": "hub:org/second"}
    session = session_of(model=["hub:org/first", MODEL], download=download, **others)
    with pytest.raises(ModelError, match="no hub:org/first here"):
        session.judged(PACK, "hub:org/first")
    session.judged(PACK, MODEL)
    assert asked == dict.fromkeys(("hub:org/first", "hub:org/dense", "hub:org/second"), download)


def test_environment_names_what_was_compared() -> None:
    values = {"model": [MODEL], "dense-reference": DENSE, "second-model": "mixtral@main", "layers": "3,1"}
    found = environment(settings_from(values))
    assert (found["dense_reference"], found["second_model"], found["layers"]) == (DENSE, "mixtral@main", "1,3")
    plain = environment(settings_from({"model": [MODEL]}))
    assert (plain["dense_reference"], plain["second_model"], plain["layers"]) == (None, None, None)
    assert all(isinstance(value, str | int | float | bool | None) for value in (found | plain).values())


def test_packs_are_judged_together_while_a_model_is_in_memory(
    session_of: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that the run does not name is judged when a test asks for it."""
    from moe_claims.run import session as module

    asked: list[str] = []

    def counted(ref: ModelRef, *, download: bool) -> Any:
        asked.append(ref.name)
        return loading.open_model(ref, download=download)

    monkeypatch.setattr(module, "open_model", counted)
    claims = (LIVE["router-norm"], LIVE["neuron-order"])
    other, third = (Pack(id=name, title="T", paper="P", claims=claims) for name in ("other", "third"))
    settings = session_of().settings
    session = Session(settings, packs=(PACK, other))
    whole, few = session.judged(PACK, MODEL), session.judged(other, MODEL)
    assert asked == [MODEL]
    assert {row.pack for row in few.results} == {"other"}
    assert {row.claim for row in few.results} == {"router-norm", "neuron-order"}
    ours = {(row.claim, row.variant): row for row in whole.results}
    for row in few.results:
        beside = ours[row.claim, row.variant]
        assert row.effect == beside.effect  # the same numbers were measured,
        assert row.interval != beside.interval or row.interval.method.startswith("jackknife")  # and resampled anew
    assert session.judged(third, MODEL).results[0].pack == "third"
    assert asked == [MODEL, MODEL]


# --- what is kept, and what is asked for ------------------------------------------------------------


class Drawn:
    """Stands for the figures of a report."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.drawn = folder, 0

    def __call__(self, model: Any, measured: Any) -> dict[str, Any]:
        self.drawn += 1
        (self.folder / "one.png").write_bytes(b"a picture")
        return {"model": model.card(), "figures": [{"id": "one", "files": ["one.png"]}]}

    def files(self, entry: Any) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for figure in entry["figures"] for name in figure["files"]}

    def restore(self, model: str, entry: Any, files: Any) -> Any:
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        return entry


def test_the_same_question_is_answered_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moe_claims.run import session as module

    judged = 0

    def counted(*arguments: Any, **options: Any) -> Judged:
        nonlocal judged
        judged += 1
        return evaluate(*arguments, **options)

    monkeypatch.setattr(module, "evaluate", counted)
    values = {"model": [MODEL], "tokens": "200", "device": "cpu", "cache": str(tmp_path), "profile": "quick"}
    figures = Drawn(tmp_path)
    first = Session(settings_from(values), figures).judged(PACK, MODEL)
    (tmp_path / "one.png").unlink()
    again = Session(settings_from(values), figures).judged(PACK, MODEL)
    assert (judged, figures.drawn) == (1, 1)
    assert again.results == first.results
    assert (again.card, again.corpora, again.pictures) == (first.card, first.corpora, first.pictures)
    assert (tmp_path / "one.png").read_bytes() == b"a picture"
    for other in ({"seed": 1}, {"alpha": 0.01}, {"tokens": "180"}, {"dense-reference": DENSE}, {"layers": "1"}):
        Session(settings_from(values | other), figures).judged(PACK, MODEL)
    assert judged == figures.drawn == 6


def test_a_judgement_that_lacks_something_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moe_claims.run import session as module

    judged = []
    monkeypatch.setattr(module, "evaluate", lambda *args, **more: judged.append(args) or evaluate(*args, **more))
    values = {"model": [MODEL], "tokens": "200", "device": "cpu", "cache": str(tmp_path), "profile": "quick"}
    for broken in ({"layers": "9"}, {"second-model": str(tmp_path)}):
        for _ in range(2):
            Session(settings_from(values | broken)).judged(PACK, MODEL)
    assert len(judged) == 4


def test_what_is_not_asked_for_is_not_measured(tmp_path: Path) -> None:
    values = {"model": [MODEL], "tokens": "200", "device": "cpu", "cache": str(tmp_path), "profile": "full"}
    wanted = {(PACK.id, MODEL): frozenset({Asked("neuron-experts", None, None)})}
    session = Session(settings_from(values), Drawn(tmp_path), wanted=wanted)
    judged = session.judged(PACK, MODEL)
    assert [row.claim for row in judged.results] == ["neuron-experts"]
    assert judged.corpora == () and judged.broken == ()
    assert judged.pictures is not None
    assert judged.pictures["reason"] == "the run asks for some tests alone"
    assert judged.results[0].controls["random_init"]["verdict"] is not None
    # Two layers of the weights, of the model and of its control, and the judgement is incomplete without figures.
    assert len(list(tmp_path.glob("*.npz"))) == 4


def test_a_pack_of_which_nothing_is_asked_for_is_not_judged(tmp_path: Path) -> None:
    other = Pack(id="other", title="T", paper="P", claims=(LIVE["router-norm"],))
    values = {"model": [MODEL], "tokens": "200", "device": "cpu", "cache": str(tmp_path), "profile": "quick"}
    wanted = {(PACK.id, MODEL): frozenset({Asked("neuron-experts", None, None)}), ("other", MODEL): frozenset[Asked]()}
    session = Session(settings_from(values), packs=(PACK, other), wanted=wanted)
    assert [row.claim for row in session.judged(PACK, MODEL).results] == ["neuron-experts"]
    assert not session.judged(PACK, MODEL).corpora


def test_a_pack_of_somebody_elses_is_judged_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moe_claims.run import session as module

    judged = []
    monkeypatch.setattr(module, "evaluate", lambda *args, **more: judged.append(args) or evaluate(*args, **more))
    theirs = Pack(id="theirs", title="T", paper="P", claims=(LIVE["neuron-experts"],))
    values = {"model": [MODEL], "tokens": "200", "device": "cpu", "cache": str(tmp_path), "profile": "quick"}
    for _ in range(2):
        Session(settings_from(values), packs=(theirs,)).judged(theirs, MODEL)
    assert len(judged) == 2
