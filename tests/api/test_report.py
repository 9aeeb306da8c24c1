"""``Report``: what was found as plain values, as a frame, shown, saved and loaded again."""

import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import moe_claims
from moe_claims import Report
from moe_claims.api import notebook
from moe_claims.api.frame import COLUMNS
from moe_claims.errors import UsageError
from moe_claims.report import report_folder, results
from moe_claims.types import Verdict

Make = Callable[..., dict[str, Any]]

HOSTILE = "x\x1b[2J\u202e<script>alert(1)</script>[red]\nsecond"
NONE: dict[str, Any] = {
    "verdict": Verdict.NOT_APPLICABLE, "effect": None, "interval": None, "p_value": None, "p_adjusted": None,
    "n_units": None, "corpus": None, "variant": None, "claim": "special-expert-chosen-less", "reason": "no such expert",
}  # fmt: skip
CONTROLLED: dict[str, Any] = {
    "variant": "token-specific",
    "controls": {"random_init": {"verdict": "replicated", "effect": 0.5, "artefact": True, "reason": "p"}},
}
PNG = b"\x89PNG\r\n\x1a\n picture"


@pytest.fixture
def report(made_up_document: Make) -> Report:
    return Report(made_up_document({}, CONTROLLED, NONE))


# --- values --------------------------------------------------------------------------------------


def test_verdicts_are_plain_and_by_test(report: Report) -> None:
    assert report.verdicts == {
        ("a-model", "look_into_moes/router-norm", "total", "builtin", "live"): "replicated",
        ("a-model", "look_into_moes/router-norm", "token-specific", "builtin", "live"): "replicated",
        ("a-model", "look_into_moes/special-expert-chosen-less", None, None, "live"): "not-applicable",
    }
    assert all(type(verdict) is str for verdict in report.verdicts.values())
    (first, *_) = [key for key in report.verdicts if key.variant == "total"]
    assert (first.model, first.claim, first.text, first.evidence) == (
        "a-model", "look_into_moes/router-norm", "builtin", "live",
    )  # fmt: skip


def test_evidence_of_one_name_is_told_apart(made_up_document: Make) -> None:
    report = Report(made_up_document({}, {"evidence": "public", "family": "public", "verdict": Verdict.ABSENT}))
    assert {key.evidence: verdict for key, verdict in report.verdicts.items()} == {
        "live": "replicated",
        "public": "absent",
    }


def test_the_frame_has_one_row_per_test_and_the_documented_columns(report: Report) -> None:
    frame = report.to_frame()
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 3
    settled = frame[frame.variant == "total"].iloc[0]
    assert (settled.model, settled.text, settled.verdict, settled.family) == (
        "a-model", "builtin", "replicated", "headline",
    )  # fmt: skip
    assert (settled.effect, settled.ci_low, settled.ci_high) == (0.63123456789012345, -0.1, 1 / 3)
    assert (settled.p_value, settled.p_adjusted, settled.n_units) == (1e-7, 0.0013, 26)
    assert not settled.artefact
    assert frame.published.isna().all()
    controlled = frame[frame.variant == "token-specific"].iloc[0]
    assert (controlled.random_init, controlled.random_init_effect, controlled.artefact) == ("replicated", 0.5, True)
    none = frame[frame.verdict == "not-applicable"].iloc[0]
    missing = ("effect", "ci_low", "p_value", "p_adjusted", "n_units", "text", "variant", "random_init")
    assert all(none[[*missing]].isna())
    numbers = {name: frame[name].dtype for name in ("effect", "p_value", "published", "random_init_effect")}
    assert set(map(str, numbers.values())) == {"float64"}


def test_the_frame_of_no_rows_has_all_columns(made_up_document: Make) -> None:
    frame = Report(made_up_document()).to_frame()
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 0


def test_every_column_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto-notebook.md").read_text(encoding="utf-8")
    assert [name for name in COLUMNS if f"`{name}`" not in page] == []


def test_without_pandas_it_says_how_to_install_it(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"^to_frame\(\) needs pandas: pip install 'moe-claims\[notebook\]'$"):
        report.to_frame()


# --- shown ---------------------------------------------------------------------------------------


def test_it_is_shown_in_a_terminal(
    report: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    report.show()
    shown = capsys.readouterr().out
    assert "✓ replicated" in shown
    line = next(line for line in shown.splitlines() if "router-norm [total]" in line)
    assert all(number in line for number in ("0.63", "[-0.10, 0.34]", "0.002"))
    assert "0.63 †" in next(line for line in shown.splitlines() if "[token-specific]" in line)
    assert "a-model: 2 replicated, 1 not-applicable" in shown
    assert "special-expert" not in shown  # it does not apply


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("models", [1, 6])
def test_no_width_cuts_a_number_or_a_line(
    width: int, models: int, made_up_document: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"synthetic:planted?layers=7&seed={number}" for number in range(models)]
    rows = [{"model": name, "effect": -0.12 - number / 100} for number, name in enumerate(names)]
    Report(made_up_document(*rows, *({**CONTROLLED, **row} for row in rows))).show()
    shown = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    assert all(f"{row['effect']:.2f}" in shown for row in rows)
    if models == 1:
        assert "[-0.10, 0.34]" in shown


def test_names_steer_neither_terminal_nor_page(made_up_document: Make, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"model": HOSTILE, "claim": "", "message": HOSTILE}]
    for rows in ([{"model": HOSTILE}], [{"model": HOSTILE}, {"model": "other", "corpus": HOSTILE}]):
        report = Report(made_up_document(*rows, errors=errors))
        report.show()
        for text in (capsys.readouterr().out, report._repr_html_(), repr(report)):
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "\\x1b[2J" in "".join(text.split()) or text.startswith("<moe")
        tags = Tags()
        tags.feed(report._repr_html_())
        assert "script" not in tags.found
        assert "[red]" in tags.text
        assert "\n" not in repr(report)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append(tag)
        assert all(name == "style" for name, _ in attrs) or dict(attrs) == {"class": "moe-claims"}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_is_a_small_table_in_a_notebook(report: Report) -> None:
    page = report._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert tags.found.count("tr") == 3  # head and the two tests that apply
    assert len(page) < 5_000
    assert "0.63 †" in tags.text
    assert "a-model: 2 replicated, 1 not-applicable" in tags.text


def test_several_models_stand_side_by_side(made_up_document: Make) -> None:
    report = Report(made_up_document({}, {"model": "other", "verdict": Verdict.CONTRADICTED, "effect": -0.5}))
    tags = Tags()
    tags.feed(report._repr_html_())
    assert "✗ -0.50" in tags.text
    assert tags.found.count("tr") == 2
    assert repr(report) == "<moe_claims.Report: a-model, other; 1 replicated, 1 contradicted>"


def test_what_could_not_be_measured_is_shown(made_up_document: Make, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"model": "gone", "claim": "", "message": "no config.json"}]
    report = Report(made_up_document({}, errors=errors))
    report.show()
    assert "Could not be measured: gone: no config.json" in capsys.readouterr().out
    assert "Could not be measured: gone: no config.json" in report._repr_html_()
    assert report.errors == errors


def test_a_notebook_gets_html_in_place_of_text(
    report: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    got: list[tuple[str, str]] = []
    monkeypatch.setattr(notebook, "display", lambda html, text: got.append((html, text)) or True)
    report.show()
    assert capsys.readouterr().out == ""
    assert got == [(report._repr_html_(), repr(report))]


# --- saved and loaded ----------------------------------------------------------------------------


def test_what_is_saved_is_loaded_again(report: Report, tmp_path: Path) -> None:
    files = report.save(tmp_path / "new" / "report")
    assert [path.name for path in files] == ["results.json", "report.md", "report.html"]
    assert sorted(path.name for path in (tmp_path / "new" / "report").iterdir()) == sorted(p.name for p in files)
    for place in (tmp_path / "new" / "report", str(files[0])):
        again = moe_claims.load(place)
        assert again.document == report.document
        assert again.verdicts == report.verdicts


@pytest.fixture
def drawn(report: Report, tmp_path: Path) -> Path:
    """A folder with a report and a figure, as a run leaves it."""
    folder = tmp_path / "drawn"
    (folder / "figures" / "a-model").mkdir(parents=True)
    (folder / "figures" / "a-model" / "rank-counts.png").write_bytes(PNG)
    entry = {
        "id": "rank-counts", "title": "Ranks", "paper": "P", "counterpart": "Figure 10", "claims": [], "caption": "c",
        "files": ["a-model/rank-counts.png"], "reason": None,
    }  # fmt: skip
    report_folder.write(folder, report.document, [{"model": {"name": "a-model"}, "figures": [entry]}])
    return folder


def test_figures_go_with_the_report(drawn: Path, tmp_path: Path) -> None:
    moe_claims.load(drawn).save(tmp_path / "copy")
    for name in ("report.html", "results.json", "figures/figures.json", "figures/a-model/rank-counts.png"):
        assert (tmp_path / "copy" / name).read_bytes() == (drawn / name).read_bytes()


@pytest.mark.parametrize("name", ["../outside.png", "/etc/hostname.png", "a-model/notes.txt", "a-model/missing.png"])
def test_a_list_of_figures_reads_and_writes_nothing_elsewhere(name: str, drawn: Path) -> None:
    (drawn / "outside.png").write_bytes(PNG)
    (drawn / "figures" / "a-model" / "notes.txt").write_text("x")
    path = drawn / "figures" / "figures.json"
    listed = json.loads(path.read_text())
    for files in ([name], ["a-model/rank-counts.png", name]):
        listed["models"][0]["figures"][0]["files"] = files
        path.write_text(json.dumps(listed))
        with pytest.raises(UsageError, match=r"figures|not there"):
            moe_claims.load(drawn)


def test_what_is_no_report_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no results file '.*results\.json'"):
        moe_claims.load(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UsageError, match="has schema version None"):
        moe_claims.load(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": results.SCHEMA_VERSION}))
    with pytest.raises(UsageError, match="is no results file that this package reads"):
        moe_claims.load(tmp_path / "results.json")


def test_a_place_that_cannot_be_written_is_one_line(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written \(.*\): give another folder"):
        report.save(tmp_path / "file")
