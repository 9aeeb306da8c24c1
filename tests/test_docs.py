"""Every command of README.md and docs/ is run, as written, in a folder of its own.

Commands stand in fenced blocks marked ``sh``. Installing is left to the CI script, which does it in
fresh environments. What would take hours or the network is run smaller, by the replacements below,
which must each still apply somewhere.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moe_claims import __version__
from moe_claims.analysis.audits import run_audits
from moe_claims.analysis.loads import public_results
from moe_claims.models.embedded import embedded_directory
from moe_claims.models.names import ALIASES
from moe_claims.report import results

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INSTALLS = ("pip install", "git clone", "cd ")
SMALLER = {
    "--seeds 200": "--seeds 1",
    "--output docs/calibration.md": "--output calibration.md",
    "--seeds 25": "--seeds 1",
    "--output docs/power.md": "--output power.md",
    "--text enwik8.gz": "--text enwik8.gz --steps 1",
    "--seeds 5": "--seeds 1",
    "trajectory tiny-scratch": "trajectory tiny-scratch --points 2 --tokens 400",
}
BY_CI = ("pip install tox && tox", "pip install -e . && pytest claims/")
"""The README's two commands, which the CI script runs; the first runs this very test."""


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.splitlines():
                stripped = re.sub(r"\s+#.*", "", line).strip()
                if stripped and stripped not in BY_CI:
                    found.append((page.name, stripped))
    return [(page, line) for page, line in dict.fromkeys(found) if not line.startswith(INSTALLS)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands speak of: the claims, a checkpoint, a text, a cached model of the hub."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("claims", "experiments", "conftest.py", "pyproject.toml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    shutil.copytree(embedded_directory("tiny-scratch"), folder / "my-checkpoint")
    (folder / "my-text.txt").write_text("\n\n".join(f"Passage {i} tells of {i} ships and one sea." for i in range(20)))
    repository = folder / "hub" / ("models--" + ALIASES["mixtral"].replace("/", "--"))
    shutil.copytree(folder / "my-checkpoint", repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    prose = ("A tide rises and falls twice a day. " * 40 + "\f") * 200
    (folder / "enwik8.gz").write_bytes(gzip.compress(prose.encode()))
    # A report of what needs no model, so that commands on reports do not depend on who ran first.
    environment = {"moe_claims": __version__, "python": "3.11", "torch": "2", "transformers": "5", "seed": 0}
    environment["dense_reference"] = None
    document = results.document(
        created="2026-01-01T00:00:00+00:00",
        environment=environment,
        models=[],
        corpora=[],
        results=[results.result_row(row) for row in public_results()],
        audits=[results.audit_row(audit) for audit in run_audits()],
        errors=[],
        order={},
    )
    results.write(folder / "claims-report" / "results.json", document)
    return folder


@pytest.mark.parametrize(("page", "command"), commands(), ids=[f"{page}: {line}" for page, line in commands()])
def test_command_runs(page: str, command: str, place: Path) -> None:
    for written, smaller in SMALLER.items():
        command = command.replace(written, smaller)
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(place / "hub"),
        "XDG_CACHE_HOME": str(place / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(command, shell=True, cwd=place, env=environment, capture_output=True, text=True, check=False)
    # A claim that does not replicate is a finding: pytest ends with 1, never with 2 or 4.
    allowed = (0, 1) if command.startswith("pytest") else (0,)
    assert done.returncode in allowed, done.stdout[-2000:] + done.stderr[-2000:]
    if command.startswith("pytest"):  # wrote a report over the one that the folder began with
        document = json.loads((place / "claims-report" / "results.json").read_text())
        assert document["models"]
        assert document["errors"] == []


def test_commands_are_found_and_every_replacement_is_used() -> None:
    lines = [line for _, line in commands()]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"```sh\n{line}\n```" in readme for line in BY_CI)
    assert all(any(written in line for line in lines) for written in SMALLER)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
