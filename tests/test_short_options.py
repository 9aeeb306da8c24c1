"""The repository's ``--model`` beside that of another: two clones, somebody's conftest.py, a plugin."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OURS = Path(__file__).parents[1] / "conftest.py"
pytestmark = pytest.mark.skipif(not OURS.exists(), reason="conftest.py of the repository is no part of a wheel")
LINE = "moe_claims: --model is an option of another conftest.py or plugin here; name models by --moe-model"
THEIRS = "def pytest_addoption(parser):\n    {adds}('--model', dest='theirs', default='none')\n"
TEST = "def test_values(pytestconfig):\n    print('VALUES', pytestconfig.getoption({!r}))\n"


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *arguments]
    # A worker of ours is none of theirs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """With a test in it, below a folder that may have a conftest.py too."""
    inner = tmp_path / "clone"
    inner.mkdir()
    shutil.copy(OURS, inner)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return inner


@pytest.mark.parametrize("beside", [True, False], ids=["one beside the other", "one in the other"])
def test_two_clones(beside: bool, clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" if beside else tmp_path
    other.mkdir(exist_ok=True)
    shutil.copy(OURS, other)
    (clone / "test_it.py").write_text(TEST.format("moe_models"))
    (other / "test_other.py").write_text(TEST.format("moe_models"))
    done = _run(tmp_path, "clone/test_it.py", str(other / "test_other.py"), "--model=a", "--model=synthetic:planted")
    assert done.returncode == 4, done.stdout + done.stderr  # the plugin has got them, and knows no 'a'
    assert "unknown model 'a'" in done.stderr and "Traceback" not in done.stderr
    done = _run(tmp_path, "clone/test_it.py", str(other / "test_other.py"), "--model=synthetic:planted")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout.count("VALUES ['synthetic:planted']") == 2


@pytest.mark.parametrize("adds", ["parser.addoption", "parser.getgroup('theirs').addoption"])
@pytest.mark.parametrize("plugin", [False, True], ids=["conftest", "plugin"])
def test_an_option_of_another_is_left_to_it(adds: str, plugin: bool, clone: Path, tmp_path: Path) -> None:
    (tmp_path / ("theirs.py" if plugin else "conftest.py")).write_text(THEIRS.format(adds=adds))
    (clone / "test_it.py").write_text(TEST.format("theirs"))
    done = _run(tmp_path, *(["-p", "theirs"] if plugin else []), "clone/test_it.py", "--model=x")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines() == [LINE]
    assert "VALUES x" in done.stdout


def _installed(folder: Path) -> None:
    """A distribution of another, whose plugin pytest finds by its entry point."""
    record = folder / "their_plugin-1.0.dist-info"
    record.mkdir()
    (folder / "theirs.py").write_text(THEIRS.format(adds="parser.getgroup('theirs').addoption"))
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[pytest11]\ntheirs = theirs\n")


@pytest.mark.parametrize("by_name", [True, False], ids=["-p", "entry point"])
def test_beside_an_installed_plugin_models_have_their_long_name(
    by_name: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _installed(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if by_name:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    named = ("-p", "theirs") if by_name else ()
    options = ("-k", "table3", "--moe-report", str(tmp_path / "report"))
    model = "synthetic:null?seed=2"
    done = _run(OURS.parent, *named, "claims/", "--model=theirs-alone", "--moe-model", model, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines() == [LINE]
    document = json.loads((tmp_path / "report" / "results.json").read_text())
    assert len(document["audits"]) == 1 and document["errors"] == []
    done = _run(OURS.parent, *named, "claims/", "--collect-only", "--moe-model", model)
    assert f"test_activation_ratio[{model}-builtin]" in done.stdout
    assert "theirs-alone" not in done.stdout
