"""``evaluate`` gives the rows of ``pytest claims/``, and keeps what was judged when something cannot be."""

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import moe_claims
from moe_claims._util import progress
from moe_claims.api.options import KEYWORDS
from moe_claims.errors import ModelError, MoeClaimsError, UsageError
from moe_claims.figures import report_figures
from moe_claims.packs.look_into_moes.audits import published_code
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.run.session import Session
from moe_claims.settings import OPTIONS, settings_from
from moe_claims.types import Result

SIZES = "layers=3&experts=4&hidden=16&intermediate=8&context=24"
MODEL, DENSE = f"synthetic:planted?{SIZES}", f"synthetic:dense?{SIZES}"
NOISY = f"synthetic:planted?{SIZES}&noise=0.1"
ELSEWHERE = {
    "report": "Report.save writes the folder",
    "report-only": "it is about tests that fail, and no test does",
    "cluster": "not used yet",
    "plan": "moe_claims plan NAME makes one",
    "plan-file": "it binds runs of pytest",
}
"""Option of a run → why ``evaluate`` has no keyword for it."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small_audits(grok: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Audits of the published code run on a small model; the statements that other processes begin with."""
    monkeypatch.setattr(published_code, "MODEL", str(grok))
    return (
        "from moe_claims.figures import report_figures\n"
        "from moe_claims.packs.look_into_moes.audits import published_code\n"
        f"report_figures.REPORTED = ()\npublished_code.MODEL = {str(grok)!r}\n"
    )


def claims_folder() -> Path:
    """Where the claims are: in the installed wheel, or in the clone."""
    spec = find_spec("moe_claims.claims")
    return Path(spec.origin).parent if spec is not None and spec.origin else Path(__file__).parents[2] / "claims"


def test_rows_are_those_of_pytest_under_the_same_options(cache: Path, small_audits: str, tmp_path: Path) -> None:
    """Live, public and trained evidence and audits, with options that change the numbers."""
    options = ["--moe-model", MODEL, "--moe-text", "builtin", "--moe-text", "builtin-math", "--moe-tokens", "300"]
    options += ["--moe-seed", "3", "--moe-alpha", "0.1", "--moe-layers", "2,0", "--moe-dtype", "float64"]
    options += ["--moe-dense-reference", DENSE, "--moe-second-model", NOISY, "--moe-device", "cpu"]
    places = ["--moe-cache", str(cache), "--moe-report", str(tmp_path / "report")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    (tmp_path / "small_audits.py").write_text(small_audits)
    done = subprocess.run(
        [*command, "-p", "small_audits", str(claims_folder()), *options, *places],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    theirs = json.loads((tmp_path / "report" / "results.json").read_text())
    report = moe_claims.evaluate(
        MODEL,
        text=["builtin", "builtin-math"],
        tokens=300,
        seed=3,
        alpha=0.1,
        layers=[2, 0],
        dtype="float64",
        dense_reference=DENSE,
        second_model=NOISY,
        device="cpu",
        cache=tmp_path / "own",
        progress=False,
    )
    ours = json.loads(json.dumps(report.document))
    assert {row["evidence"] for row in ours["results"]} == {"live", "public", "trained"}
    assert len(ours["audits"]) == 14
    assert ours.pop("created") >= theirs.pop("created")
    assert theirs["environment"].pop("command").startswith("pytest claims/ --model ")
    for part, found in ours.items():
        assert found == theirs[part], part
    assert set(ours) == set(theirs)


def test_every_option_of_a_run_is_a_keyword() -> None:
    keywords = set(inspect.signature(moe_claims.evaluate).parameters)
    assert {KEYWORDS[option.name] for option in OPTIONS if option.name not in ELSEWHERE} == keywords - {
        "figures",
        "progress",
    }


@pytest.mark.campaign("long")
def test_it_needs_no_pytest(cache: Path, small_audits: str) -> None:
    code = (
        "import sys\n"
        "sys.modules['pytest'] = sys.modules['_pytest'] = None\n"  # importing either is an error
        f"{small_audits}import moe_claims\n"
        f"report = moe_claims.evaluate({MODEL!r}, tokens=200, profile='quick', cache={str(cache)!r}, progress=False)\n"
        "print(len(report.verdicts), len(report.errors))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    judged, errors = map(int, done.stdout.split())
    assert judged > len(LIVE)
    assert errors == 0


def test_figures_are_drawn_if_asked_for_and_saved_with_the_report(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    report = moe_claims.evaluate(MODEL, tokens=200, profile="quick", cache=cache, progress=False, figures=True)
    report.save(tmp_path)
    (model,) = json.loads((tmp_path / "figures" / "figures.json").read_text())["models"]
    drawn = [name for figure in model["figures"] for name in figure["files"]]
    assert len(drawn) == len(report_figures.REPORTED)
    assert all((tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
    assert (tmp_path / "report.html").read_text().count("data:image/png") == len(drawn)
    assert list((tmp_path / "temporary").iterdir()) == []  # until it is saved, a report is in memory


# --- what cannot be measured ---------------------------------------------------------------------


@pytest.fixture
def quick(cache: Path) -> dict[str, Any]:
    return {"tokens": 200, "profile": "quick", "cache": cache, "progress": False}


def test_a_model_that_cannot_be_opened_leaves_the_others(tmp_path: Path, quick: dict[str, Any]) -> None:
    (tmp_path / "empty").mkdir()
    report = moe_claims.evaluate([tmp_path / "empty", MODEL], **quick)
    (error,) = report.errors
    assert (error["model"], error["claim"]) == (str(tmp_path / "empty"), "")
    assert "has no config.json" in error["message"]
    alone = moe_claims.evaluate(MODEL, **quick)
    assert report.verdicts == alone.verdicts
    assert [card["name"] for card in report.document["models"]] == [MODEL]


def test_the_only_model_that_cannot_be_opened_is_an_error(tmp_path: Path, quick: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        moe_claims.evaluate(tmp_path, **quick)
    (tmp_path / "other").mkdir()
    with pytest.raises(MoeClaimsError, match=r"^none of the 2 models can be judged: .*; .*other: .*has no config"):
        moe_claims.evaluate([tmp_path, tmp_path / "other"], **quick)


def test_a_text_that_cannot_be_read_is_an_error_of_its_tests(tmp_path: Path, quick: dict[str, Any]) -> None:
    short = tmp_path / "short.txt"
    short.write_text("one passage only")
    report = moe_claims.evaluate(MODEL, text=short, **quick)
    said = {error["claim"]: error for error in report.errors}
    error = said[f"look_into_moes/router-norm[total] on '{short}'"]
    assert error["model"] == MODEL
    assert "too short" in error["message"]
    assert all(key.text is None for key in report.verdicts if key.evidence == "live")


def test_a_fault_in_one_model_leaves_the_others_and_is_named(
    quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from moe_claims.run import session

    other = MODEL + "&seed=1"
    real = session.open_model

    def opened(ref: Any, *, download: bool) -> Any:
        if ref.name == other:
            raise RuntimeError("out of memory")
        return real(ref, download=download)

    monkeypatch.setattr(session, "open_model", opened)
    report = moe_claims.evaluate([other, MODEL], **quick)
    assert report.errors == [{"model": other, "claim": "", "message": "RuntimeError: out of memory"}]
    assert {key.model for key in report.verdicts if key.evidence == "live"} == {MODEL}
    with pytest.raises(RuntimeError, match="out of memory"):  # with its traceback: it is nobody's wrong input
        moe_claims.evaluate(other, **quick)


# --- options in Python ---------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": "mixtrl"}, "unknown model 'mixtrl': did you mean mixtral"),
    ({"model": []}, "model is an empty list: give at least one, or leave it out"),
    ({"text": []}, "text is an empty list"),
    ({"text": "nothing.txt"}, "nothing.txt"),
    ({"packs": "mine"}, "there is no pack 'mine'"),
    ({"packs": []}, "packs is an empty list"),
    ({"tokens": 3}, r"^tokens 3: give a whole number of tokens, 4 or more$"),
    ({"tokens": 4.5}, r"^tokens 4.5: give a whole number"),
    ({"tokens": 0}, r"^tokens 0: give"),
    ({"alpha": 0}, r"^alpha 0: give a rate"),
    ({"seed": -1}, r"^seed -1: give"),
    ({"layers": []}, "layers is an empty list"),
    ({"layers": [-1]}, r"^layers -1: give layer numbers"),
    ({"dense_reference": "mitsral"}, r"^dense_reference: unknown model 'mitsral'"),
    ({"second_model": "mitsral"}, r"^second_model: unknown model 'mitsral'"),
    ({"experiments": "nowhere"}, r"^experiments nowhere: there is no such folder"),
    ({"device": "abacus"}, r"^device abacus: give auto"),
    ({"profile": "slow"}, r"^profile slow: give one of quick, full"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(options) for options, _ in BAD])
def test_bad_options_are_one_line_that_names_the_keyword(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        moe_claims.evaluate(**options)
    assert "\n" not in str(caught.value)
    assert "--moe-" not in str(caught.value)


def test_a_path_is_a_folder_and_a_word_may_be_an_alias(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mixtral").mkdir()
    with pytest.raises(ModelError, match=r"mixtral.*has no config\.json"):
        moe_claims.evaluate(Path("mixtral"), **quick)


@pytest.fixture
def loud() -> Iterator[None]:
    yield
    progress.set_quiet(False)


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("shown", [True, False])
def test_progress_is_shown_or_not(
    shown: bool,
    quick: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    report = moe_claims.evaluate(MODEL, **quick | {"progress": shown, "cache": tmp_path})
    captured = capsys.readouterr()
    assert ("testing: " in captured.err) == shown
    assert captured.out == ""
    assert isinstance(report.verdicts, dict)


def test_the_sole_row_of_a_test_is_that_of_the_session(quick: dict[str, Any]) -> None:
    """Numbers come as they are: nothing is rounded on the way."""
    values = {"model": [MODEL], "tokens": "200", "profile": "quick", "cache": str(quick["cache"]), "device": "cpu"}
    judged = Session(settings_from(values)).judged(PACK, MODEL)
    row = judged.find("router-norm", "total", MODEL, "builtin")
    assert isinstance(row, Result)
    frame = moe_claims.evaluate(MODEL, device="cpu", **quick).to_frame()
    (found,) = frame[(frame.claim == "look_into_moes/router-norm") & (frame.variant == "total")].to_dict("records")
    assert (found["effect"], found["p_value"], found["verdict"]) == (row.effect, row.p_value, row.verdict.value)
