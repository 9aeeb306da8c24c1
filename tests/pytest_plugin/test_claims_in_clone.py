"""The claims by their module's name, in a wheel and in a clone; with plugins that pytest does not load by itself."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from moe_claims.pytest_plugin.claims_in_clone import NAME, ClaimsInClone, make_findable

ROOT = Path(__file__).parents[2]
AUDIT = "table3-against-table5"
PLUGIN = ("-p", "moe_claims.plugin")
NEEDED = "ERROR: these tests need the plugin moe_claims, which pytest was told not to load "
in_a_clone = pytest.mark.skipif(not (ROOT / "claims").is_dir(), reason="a wheel has its claims inside the package")


def run(folder: Path, *arguments: str, autoload: bool = True) -> subprocess.CompletedProcess[str]:
    """Lists one audit's test; its name is among what is printed if the claims were found and have their plugin."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-k", AUDIT]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    if not autoload:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


def claims() -> str:
    make_findable()
    spec = find_spec(NAME)
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).parent)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("claims/__init__.py", "claims/test_it.py", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_the_folder_beside_the_package_is_found_by_name(clone: Path) -> None:
    spec = ClaimsInClone(clone).find_spec(NAME)
    assert spec is not None and spec.origin == str(clone / "claims" / "__init__.py")
    assert list(spec.submodule_search_locations or ()) == [str(clone / "claims")]
    assert ClaimsInClone(clone).find_spec("moe_claims.tests") is None
    assert ClaimsInClone(clone).find_spec("claims") is None


@pytest.mark.parametrize("lacks", ["pyproject.toml", "claims/__init__.py"])
def test_a_folder_of_that_name_elsewhere_is_somebody_elses(clone: Path, lacks: str) -> None:
    (clone / lacks).unlink()
    assert ClaimsInClone(clone).find_spec(NAME) is None


def test_there_is_one_finder_behind_all_others() -> None:
    make_findable()
    before = list(sys.meta_path)
    make_findable()
    assert sys.meta_path == before
    assert sum(isinstance(finder, ClaimsInClone) for finder in before) == 1


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
@pytest.mark.parametrize("name", [NAME, f"{NAME}.look_into_moes.test_audits"])
def test_claims_are_run_from_anywhere(name: str, mode: str, tmp_path: Path) -> None:
    done = run(tmp_path, f"--import-mode={mode}", "--pyargs", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[{AUDIT}]" in done.stdout


@pytest.mark.parametrize("autoload", [True, False])
def test_the_plugin_can_be_named(autoload: bool, tmp_path: Path) -> None:
    done = run(tmp_path, *PLUGIN, "--pyargs", NAME, "--moe-model", "synthetic:planted", autoload=autoload)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[{AUDIT}]" in done.stdout
    assert "moe_claims=" not in done.stderr  # pytest lists all plugins where one is there twice


@pytest.mark.parametrize("autoload", [True, False])
def test_a_conftest_can_name_the_plugin(autoload: bool, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['moe_claims.plugin']\n")
    test = "import pytest\n@pytest.mark.moe_audit\ndef test_ours(moe_result): pass\n"
    (tmp_path / "test_ours.py").write_text(test)
    done = run(tmp_path, "--strict-markers", autoload=autoload)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[{AUDIT}]" in done.stdout


@in_a_clone
def test_a_clone_needs_no_plugin_that_is_loaded_by_itself() -> None:
    done = run(ROOT, "claims/", "--model", "synthetic:planted", autoload=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"[{AUDIT}]" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("--moe-model", "synthetic:planted")])
@pytest.mark.parametrize("autoload", [True, False])
def test_without_the_plugin_one_line_says_how_to_get_it(
    arguments: tuple[str, ...], autoload: bool, tmp_path: Path
) -> None:
    blocked = ("-p", "no:moe_claims") if autoload else ()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # not that of the clone, which names the plugin
    done = run(tmp_path, "-c", "pytest.ini", *blocked, claims(), *arguments, autoload=autoload)
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stderr.startswith(NEEDED) and "add -p moe_claims.plugin" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
