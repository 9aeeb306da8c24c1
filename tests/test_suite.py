"""How the tests are run: workers where nobody said how many, and long tests left to tox in so many words."""

import json
import os
import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
HERE = Path(__file__).parent
SOME = """
import os
import pytest

@pytest.mark.parametrize("number", range(2))
def test_short(number, made_once):
    folder = made_once("a thing", lambda folder: (folder / "made-by").write_text(str(os.getpid())))
    assert (folder / "made-by").read_text().isdigit()

@pytest.mark.campaign("docs")
def test_long():
    assert False
"""
CONFTEST = """

import importlib.util
import json
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("suite_under_test", Path(__file__).with_name("suite.py"))
suite = importlib.util.module_from_spec(spec)
spec.loader.exec_module(suite)
suite._cpus = lambda: {cpus}

def pytest_configure(config):
    config.pluginmanager.register(suite, "moe-claims-suite")

@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    suite.choose_workers(config)
    if not hasattr(config, "workerinput"):
        chosen = [getattr(config.option, name, None) for name in ("numprocesses", "dist")]
        Path("chosen.json").write_text(json.dumps(chosen))
"""


@pytest.fixture
def place(pytester: pytest.Pytester) -> Path:
    """A small suite of the same making, on a machine of four processors, and another suite beside it."""
    return _made(pytester, cpus=4)


def _made(pytester: pytest.Pytester, cpus: int) -> Path:
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        testpaths = ["ours"]
        addopts = ["--import-mode=importlib"]
        markers = ["campaign(environment): long"]
        """
    )
    # Not "tests": a module of that name is this very folder.
    tests, claims = pytester.mkdir("ours"), pytester.mkdir("claims")
    shutil.copy(HERE / "suite.py", tests)
    (tests / "conftest.py").write_text(CONFTEST.replace("{cpus}", str(cpus)))
    (tests / "test_some.py").write_text(SOME)
    (tests / "test_more.py").write_text("def test_more(): pass\n")
    (claims / "test_claim.py").write_text("def test_claim(): pass\n")
    return pytester.path


def _chosen(place: Path) -> list[object]:
    chosen: list[object] = json.loads((place / "chosen.json").read_text())
    return chosen


def test_two_workers_by_themselves_make_what_is_shared_once(place: Path, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--basetemp", "base")
    result.assert_outcomes(passed=3)
    assert _chosen(place) == [2, "worksteal"]
    result.stdout.fnmatch_lines(["*2 workers*", "1 long tests were left to 'tox -e docs'"])
    (made,) = (place / "base").rglob("made-by")
    assert made.parent.parent == place / "base"


@pytest.mark.parametrize(
    "arguments",
    [
        ("-n", "0"),
        ("-n", "1"),
        ("--pdb",),
        ("-s",),
        ("--collect-only",),
        ("--fixtures",),
        ("ours/test_some.py",),
        ("ours/test_some.py::test_short", "ours/test_more.py::test_more"),
        ("-p", "no:xdist"),
        ("ours", "claims"),
    ],
    ids=" ".join,
)
def test_who_says_otherwise_or_looks_at_one_test_is_not_overruled(
    arguments: tuple[str, ...], place: Path, pytester: pytest.Pytester
) -> None:
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.OK
    asked = int(arguments[1]) if arguments[0] == "-n" else None
    assert _chosen(place)[0] == asked


def test_one_processor_has_no_workers(pytester: pytest.Pytester) -> None:
    place = _made(pytester, cpus=1)
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.OK
    assert _chosen(place)[0] is None


def test_other_suites_are_left_alone(place: Path, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("claims")
    result.assert_outcomes(passed=1)
    assert not (place / "chosen.json").exists()
    assert "long tests" not in result.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (("-n", "0"), {"passed": 3, "deselected": 1}),
        (("-n", "0", "-m", "campaign"), {"failed": 1, "deselected": 3}),
        (("-n", "0", "-m", "campaign or not campaign"), {"failed": 1, "passed": 3}),
        (("ours/test_some.py::test_long",), {"failed": 1}),
    ],
)
def test_long_tests_are_run_where_they_are_asked_for(
    arguments: tuple[str, ...], ran: dict[str, int], place: Path, pytester: pytest.Pytester
) -> None:
    result = pytester.runpytest_inprocess(*arguments)
    result.assert_outcomes(**ran)
    assert ("1 long tests were left to 'tox -e docs'" in result.stdout.str()) == (
        "passed" in ran and "failed" not in ran
    )


def test_every_long_test_has_an_environment_that_runs_it() -> None:
    tox = HERE.parent / "tox.ini"
    written = {name for path in HERE.rglob("test_*.py") for name in _campaigns(path.read_text(encoding="utf-8"))} - {
        "environment"
    }
    for environment in written:
        assert f"[testenv:{environment}]" in tox.read_text(encoding="utf-8")


def _campaigns(text: str) -> list[str]:
    import re

    return re.findall(r"\.campaign\(\"(\w+)\"\)", text)


def test_runs_inside_take_no_options_from_outside() -> None:
    assert os.environ["PYTEST_ADDOPTS"] == "-p no:hypothesispytest"
