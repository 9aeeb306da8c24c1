"""The figures of a report: drawn from what was judged, without measuring anything anew."""

import sys
from pathlib import Path
from typing import Any

import pytest

from moe_claims._util.optional import install_command
from moe_claims.errors import UsageError
from moe_claims.figures.catalogue import KINDS
from moe_claims.figures.report_figures import REPORTED, ReportFigures
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Store
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.report import report_folder
from moe_claims.report.html import pictures
from moe_claims.run.session import Session
from moe_claims.settings import Settings, settings_from

MODEL = "synthetic:planted?layers=3&experts=4&hidden=16&intermediate=8&context=24"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    values = {"model": [MODEL], "tokens": "200", "profile": "quick"}
    return settings_from({**values, "cache": str(tmp_path / "cache"), "report": str(tmp_path / "report")})


def test_every_kind_of_a_report_is_drawn_and_shown(settings: Settings) -> None:
    session = Session(settings, ReportFigures(settings))
    found = session.judged(PACK, MODEL).pictures
    assert found is not None
    assert found["model"]["name"] == MODEL
    assert tuple(figure["id"] for figure in found["figures"]) == REPORTED
    assert {figure["reason"] for figure in found["figures"]} == {None}
    report_folder.write(settings.report, _empty(), [found])
    titles = [one["title"] for one in report_folder.page_figures(settings.report)]
    assert titles == [f"{kind.title}: {MODEL}" for name in REPORTED for kind in KINDS if kind.id == name]
    page = (settings.report / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(REPORTED)


def test_a_page_of_an_earlier_run_lends_no_figures(settings: Settings) -> None:
    session = Session(settings, ReportFigures(settings))
    found = session.judged(PACK, MODEL).pictures
    assert found is not None
    report_folder.write(settings.report, _empty(), [found])
    report_folder.write(settings.report, _empty())
    assert report_folder.page_figures(settings.report) == []
    assert not (settings.report / report_folder.FIGURES / pictures.LIST).exists()


def test_nothing_is_measured_for_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with_pictures, plain = Session(settings, ReportFigures(settings)), Session(settings)
    calls: list[str] = []
    inner = Measurer.measure

    def counted(self: Measurer, *args: Any, **kwargs: Any) -> Any:
        calls.append("measure")
        return inner(self, *args, **kwargs)

    monkeypatch.setattr(Measurer, "measure", counted)
    assert plain.judged(PACK, MODEL).results == with_pictures.judged(PACK, MODEL).results
    assert calls == ["measure", "measure"]
    assert plain.judged(PACK, MODEL).pictures is None


def test_without_matplotlib_verdicts_stand_and_the_reason_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    session = Session(settings, ReportFigures(settings))
    judged = session.judged(PACK, MODEL)
    assert judged.results
    found = judged.pictures
    assert found is not None
    assert found["figures"] == []
    assert found["reason"] == f"figures need matplotlib, which is not installed: {install_command()}"


def test_a_text_that_could_not_be_run_leaves_the_figures_of_weights(settings: Settings) -> None:
    model = open_model(resolve(MODEL))
    weights = Measurer(settings, Store(settings.cache)).parts.weights(model)
    found = ReportFigures(settings)(model, {"builtin": Measured(weights, UsageError("the text is too short"))})
    reasons = {figure["id"]: figure["reason"] for figure in found["figures"]}
    assert reasons["matrix-similarity"] is None
    assert reasons["rank-counts"] == "the text is too short"


def _empty() -> dict[str, Any]:
    return {
        "schema_version": 5, "created": "2026-01-01", "environment": {}, "packs": [], "models": [], "corpora": [],
        "results": [], "audits": [], "errors": [],
    }  # fmt: skip
