"""The pack of ``docs/howto-claim.md``: installed as a third party would, judged, and shown in table and report."""

import json
import os
import re
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from moe_claims.report import results

PAGE = Path(__file__).parents[2] / "docs" / "howto-claim.md"
CLAIM = "expert_loads/load-follows-magnitude"
TINY = "synthetic:planted?layers=2&experts=4&hidden=16&intermediate=8&context=24"


def files() -> dict[str, str]:
    """The files that the page shows, by the name in the first line of each."""
    blocks = re.findall(r"^```(?:toml|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    found = {}
    for block in blocks:
        name = re.match(r"# (\S+)\n", block)
        assert name, f"a file without its name in the first line: {block[:60]}"
        found[name[1]] = block
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment of its own, with this one's packages beneath, and the page's package in it."""
    folder = tmp_path_factory.mktemp("third-party")
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    venv.create(folder / "env", with_pip=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    interpreter = folder / "env" / scripts / "python"
    where = "import site; print(site.getsitepackages()[0])"
    own = subprocess.run([interpreter, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    beneath = [path for path in sys.path if path and Path(path).is_dir()]
    (Path(own) / "beneath.pth").write_text("\n".join(beneath), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-index", "--no-deps",
         "--no-build-isolation", "--disable-pip-version-check", str(folder / "expert-loads")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return interpreter


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    return subprocess.run(
        [str(python), "-m", *arguments], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )


def claims() -> str:
    spec = find_spec("moe_claims.claims")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else PAGE.parents[1] / "claims"
    return str(folder)


def test_the_commands_of_the_page_are_those_that_are_run_here() -> None:
    shown = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert "".join(shown).splitlines() == [
        "pip install ./expert-loads",
        "python -m moe_claims packs",
        f"python -m moe_claims claims --full {CLAIM}",
        "pytest claims/ --moe-pack expert_loads --model tiny-scratch --moe-tokens 2048 -v",  # here on a smaller model
    ]


def test_the_page_needs_less_than_80_lines() -> None:
    assert sum(text.count("\n") for text in files().values()) < 80
    assert set(files()) == {"expert-loads/pyproject.toml", "expert-loads/expert_loads.py"}


def test_it_is_listed_with_where_it_comes_from(python: Path, tmp_path: Path) -> None:
    done = run(python, "moe_claims", "packs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = done.stdout.split("\n\n")
    assert ours.startswith("look_into_moes (judged by default)")
    assert "Expert Loads, a Paper Made Up for a Page (docs/howto-claim.md)" in theirs
    assert "from expert-loads 1.0: expert_loads:PACK" in theirs
    assert "1 claims: load-follows-magnitude" in theirs
    full = run(python, "moe_claims", "claims", "--full", CLAIM, cwd=tmp_path)
    assert "expert_loads:load_follows" in full.stdout


def test_it_is_judged_without_a_test_file_of_its_own(python: Path, tmp_path: Path) -> None:
    options = ("--import-mode=importlib", "-p", "no:cacheprovider", "--moe-cache", str(tmp_path / "cache"))
    chosen = ("--moe-pack", "expert_loads", "--moe-model", TINY)
    done = run(python, "pytest", claims(), *options, *chosen, "-v", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    folder = tmp_path / "claims-report"
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, results.schema())
    assert [pack["id"] for pack in document["packs"]] == ["expert_loads"]
    (row,) = document["results"]
    assert (row["claim"], row["pack"], row["claim_version"]) == (CLAIM, "expert_loads", 1)
    assert row["p_adjusted"] == row["p_value"]  # one claim in its family
    assert row["controls"]["random_init"]["verdict"] is not None
    assert row["null_distribution"] is not None
    (audit,) = document["audits"]
    assert (audit["pack"], audit["id"], audit["outcome"]) == ("expert_loads", "shares-add-up", "agrees")
    assert "reproducibility of docs/howto-claim.md" in done.stdout
    assert "load-follows-magnitude" in done.stdout
    assert "shares-add-up" in done.stdout
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Expert Loads, a Paper Made Up for a Page" in page
    assert page.count("<svg") >= 2  # its interval, and the null of its p


def test_two_packs_are_corrected_apart(python: Path, tmp_path: Path) -> None:
    options = ("--import-mode=importlib", "-p", "no:cacheprovider", "--moe-cache", str(tmp_path / "cache"))
    both = ("--moe-pack", "look_into_moes", "--moe-pack", "expert_loads", "--moe-profile", "quick")
    only = "load-follows or router_norm"
    done = run(python, "pytest", claims(), *options, *both, "--moe-model", TINY, "-k", only, "-v", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    document = json.loads((tmp_path / "claims-report" / "results.json").read_text(encoding="utf-8"))
    assert {pack["id"] for pack in document["packs"]} == {"look_into_moes", "expert_loads"}
    rows = {row["claim"]: row for row in document["results"]}
    assert rows[CLAIM]["p_adjusted"] == rows[CLAIM]["p_value"]
    assert "look_into_moes/router-norm-diagonal" in rows
    assert "(docs/howto-claim.md)" in done.stdout and "(arXiv 2406.18219)" in done.stdout
