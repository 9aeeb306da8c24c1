"""Every command of README.md and docs/ is run, as written, in a folder of its page's own.

Commands stand in fenced blocks marked ``sh``. Installing is left to the CI script, which does it in
fresh environments. What would take hours or the network is run smaller, by the replacements below,
which must each still apply somewhere. Files that a page shows, marked ``python`` and named in their
first line, are written before its commands run; recipes for CI and for job arrays are run as well.

What takes minutes is a campaign of ``tox -e docs``; the rest is run with all other tests. Commands of
one page may need each other's files and are run by one worker; measurements are shared by all.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from moe_claims import __version__
from moe_claims.models.embedded import embedded_directory
from moe_claims.models.names import ALIASES
from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.report import results

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.remove(ROOT / "docs" / "howto-claim.md")  # tests/packs/test_third_party.py installs and runs what it shows
INSTALLS = ("pip install", "git clone", "cd ")
SMALLER = {
    "--seeds 200": "--seeds 1 --claim corpus-robust",
    "--output docs/calibration.md": "--output calibration.md",
    "--seeds 25": "--seeds 1 --claim router-norm-extremes",
    "--output docs/power.md": "--output power.md",
    "--text enwik8.gz": "--text enwik8.gz --steps 1",
    "--seeds 5": "--seeds 1",
    "trajectory tiny-scratch": "trajectory tiny-scratch --points 2 --tokens 400",
    " --points 4 --tokens 1000": "",
    "--model tiny-scratch --moe-profile quick": "--model tiny-scratch --moe-profile quick -k router_norm",
    # First, so that what a command says of its own wins; the main job of CI runs all claims on all of the text.
    "pytest claims/ --model": "pytest claims/ --moe-tokens 600 --moe-profile quick -k 'not row-order' --model",
    "pytest claims/ -n 2": "pytest claims/ -n 2 --moe-tokens 400",
    "figures tiny-scratch --output": "figures tiny-scratch --tokens 400 --layers 0,11 --output",
    "--tokens 1000 --output figures": "--tokens 400 --layers 0,11 --output figures",
}
BY_CI = ("pip install -e . && pytest claims/", "pip install -e '.[test]' && pytest")
"""The README's two commands, which the CI script runs; the second runs this very test."""
QUICK_ONES = re.compile(r"python -m moe_claims (claims|models|report claims-report|findings claims-report)\b")
"""Commands that run no model, and end in seconds."""
APART = ("README.md",)
"""Pages whose commands do not need each other, so that any worker may run each."""
ALONE = re.compile(r"python -m moe_claims (power|calibrate)\b")
"""Commands of minutes that need no other of their page."""
LONG = pytest.mark.campaign("docs")


def blocks(page: Path, language: str) -> list[str]:
    """What stands in the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """Every command once, with the first page that has it."""
    found: dict[str, str] = {}
    for page in PAGES:
        for line in "".join(blocks(page, "sh")).splitlines():
            command = re.sub(r"\s+#.*", "", line).strip()
            if command and command not in BY_CI and not command.startswith(INSTALLS):
                found.setdefault(command, page.name)
    return [(page, command) for command, page in found.items()]


def cases() -> list[Any]:
    """Page and command, and whether it is left to tox.

    Under ``--dist loadscope``, one worker runs what is alike before the last ``::`` of a test's name: here a page, or
    one command of a page whose commands do not need each other.
    """
    found = []
    for number, (page, command) in enumerate(commands()):
        scope = f"{page} {number}" if page in APART or ALONE.match(command) else page
        marks = [] if QUICK_ONES.match(command) else [LONG]
        found.append(pytest.param(page, command, marks=marks, id=f"{scope}::{command}"))
    return found


def write_files(page: Path, folder: Path) -> None:
    """The files that a page shows, each under the name in its first line."""
    for block in blocks(page, "python"):
        name = re.match(r"# (\S+\.py)\n", block)
        assert name, f"{page.name}: a file without its name in the first line: {block[:60]}"
        path = folder / name[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(block, encoding="utf-8")


@pytest.fixture(scope="session")
def shared(made_once: Callable[..., Path]) -> Path:
    """For all workers: the cache of measurements, and a cached model of the hub."""

    def make(folder: Path) -> None:
        (folder / "cache").mkdir()
        repository = folder / "hub" / ("models--" + ALIASES["mixtral"].replace("/", "--"))
        shutil.copytree(embedded_directory("tiny-scratch"), repository / "snapshots" / "0123abc")
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0123abc")

    return made_once("docs", make)


@pytest.fixture(scope="session")
def place_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """(page) → a folder with what its commands speak of: the claims, a checkpoint, a text, figures, a report."""

    @cache
    def make(page: str) -> Path:
        folder = tmp_path_factory.mktemp(page.partition(".")[0])
        for name in ("claims", "experiments", "conftest.py", "pyproject.toml"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        shutil.copytree(embedded_directory("tiny-scratch"), folder / "my-checkpoint")
        prose = "\n\n".join(f"Passage {i} tells of {i} ships and one sea." for i in range(20))
        (folder / "my-text.txt").write_text(prose)
        write_files(ROOT / "docs" / "howto-check.md", folder)
        prose = ("A tide rises and falls twice a day. " * 40 + "\f") * 200
        (folder / "enwik8.gz").write_bytes(gzip.compress(prose.encode()))
        # Figures and a report of what needs no model, so that what is made of them does not depend on who ran first.
        shutil.copytree(ROOT / "docs" / "figures", folder / "figures")
        environment = {"moe_claims": __version__, "python": "3.11", "torch": "2", "transformers": "5", "seed": 0}
        environment["dense_reference"] = None
        document = results.document(
            created="2026-01-01T00:00:00+00:00",
            environment=environment,
            packs=[PACK.described()],
            models=[],
            corpora=[],
            results=[results.result_row(row) for row in judged_counts(PACK).results],
            audits=[results.audit_row(replace(audit, pack=PACK.id)) for audit in run_audits()],
            errors=[],
            order={},
        )
        results.write(folder / "claims-report" / "results.json", document)
        return folder

    return make


def environment(shared: Path, **more: str) -> dict[str, str]:
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(shared / "hub"),
        "XDG_CACHE_HOME": str(shared / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **more,
    }


def run(command: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("page", "command"), cases())
def test_command_runs(page: str, command: str, shared: Path, place_of: Callable[[str], Path]) -> None:
    for written, smaller in SMALLER.items():
        command = command.replace(written, smaller)
    folder, variables = place_of(page), environment(shared)
    done = run(command, folder, variables)
    # A claim that does not replicate is a finding: pytest ends with 1, never with 2 or 4.
    judges = command.startswith("pytest claims/") or " --pyargs " in command
    assert done.returncode in ((0, 1) if judges else (0,)), done.stdout[-2000:] + done.stderr[-2000:]
    planned = re.search(r"--moe-plan\b(?!-)", command)  # in place of a report
    if command.startswith("pytest") and "odel " in command and not planned:  # wrote one over that of the beginning
        report = re.search(r"--moe-report (\S+)", command)
        document = json.loads((folder / (report[1] if report else "claims-report") / "results.json").read_text())
        assert document["models"]
        assert document["errors"] == []


# --- recipes -------------------------------------------------------------------------------------

QUICK = " --moe-profile quick -k router_norm"
CLAIMS = "--pyargs moe_claims.claims" if find_spec("moe_claims.claims") else "claims/"
"""As the recipe says, in a wheel and in a clone; without the plugin, a clone has them by their path alone."""


def recipes() -> dict[str, Any]:
    """The YAML of the page on CI, by file name."""
    found = {}
    for block in blocks(ROOT / "docs" / "howto-ci.md", "yaml"):
        found[block.splitlines()[0].removeprefix("# ")] = yaml.safe_load(block)
    return found


def test_every_yaml_block_parses() -> None:
    for page in PAGES:
        for block in blocks(page, "yaml"):
            assert isinstance(yaml.safe_load(block), dict), f"{page.name}: {block[:60]}"
    assert sorted(recipes()) == [".github/workflows/claims.yml", ".gitlab-ci.yml"]


def scripts(name: str, recipe: dict[str, Any]) -> list[str]:
    if name == ".gitlab-ci.yml":
        return list(recipe["claims"]["script"])
    steps = recipe["jobs"]["claims"]["steps"]
    assert all("uses" in step or "run" in step for step in steps)
    return [step["run"] for step in steps if "run" in step]


@LONG
@pytest.mark.parametrize("name", [".github/workflows/claims.yml", ".gitlab-ci.yml"])
def test_ci_recipe_fails_on_worse_alone(name: str, shared: Path, place_of: Callable[[str], Path]) -> None:
    place = place_of("howto-ci.md")
    install, judge, compare = scripts(name, recipes()[name])
    assert install == 'pip install "$MOE_CLAIMS"'
    variables = environment(shared, GITHUB_STEP_SUMMARY=str(place / "summary.md"))
    baseline = place / "baseline" / "results.json"
    (place / "summary.md").write_text("")
    for command in (judge.replace("--moe-report-only", "--moe-report-only --moe-report baseline"), judge, compare):
        done = run(command.replace("--pyargs moe_claims.claims", CLAIMS), place, variables)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (place / "claims.xml").read_text().count('name="verdict"') > 1
    summary = (place / "summary.md").read_text()
    assert "router-norm" in summary
    assert ("claims-report/results.json against baseline/results.json" in summary) == (name != ".gitlab-ci.yml")
    document = json.loads(baseline.read_text())
    for row in document["results"]:  # as if every claim had held before
        row["verdict"] = "replicated"
    baseline.write_text(json.dumps(document))
    assert run(compare, place, variables).returncode == 1


@LONG
def test_job_array_fills_a_cache_that_the_last_run_reads(shared: Path, tmp_path: Path) -> None:
    job, last = blocks(ROOT / "docs" / "howto-cluster.md", "bash")
    folder, cached = tmp_path / "clone", tmp_path / "shared"
    shutil.copytree(ROOT / "claims", folder / "claims", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "models.txt").write_text("tiny-scratch@step500\ntiny-scratch\n")
    for task in "12":
        small = job.replace("--moe-device cuda", QUICK)
        done = run(small, folder, environment(shared, SLURM_ARRAY_TASK_ID=task, SHARED=str(cached)))
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    measured = {path: path.stat().st_mtime_ns for path in cached.rglob("*.npz")}
    assert len(measured) > 24
    done = run(last.strip() + QUICK, folder, environment(shared, SHARED=str(cached)))
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    assert {path: path.stat().st_mtime_ns for path in cached.rglob("*.npz")} == measured
    names = [card["name"] for card in json.loads((folder / "claims-report" / "results.json").read_text())["models"]]
    assert sorted(names) == ["tiny-scratch", "tiny-scratch@step500"]


def test_commands_are_found_and_every_replacement_is_used() -> None:
    lines = [line for _, line in commands()]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"```sh\n{line}\n```" in readme for line in BY_CI)
    assert all(any(written in line for line in lines) for written in SMALLER)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
