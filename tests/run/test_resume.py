"""Killed at any point, a run goes on where it was: at most one layer again, and the same results."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

LAYERS = 3
MODEL = f"synthetic:planted?layers={LAYERS}&experts=4&hidden=16&intermediate=8&context=24"
ROOT = Path(__file__).parents[2]

# The run of a user, with a log of its work; it kills itself before or after a file takes its place in the store.
DRIVER = """
import os, signal, sys
from pathlib import Path

log, cache, report, when, moment, *options = sys.argv[1:]
log = open(log, "a", buffering=1)

import moe_claims.measure.matching as matching
import moe_claims.measure.weights as weights
from moe_claims.models.forward import layer_weights

def noted(module, name, what):
    inner = getattr(module, name)
    def outer(*args, **kwargs):
        print(what, file=log)
        return inner(*args, **kwargs)
    setattr(module, name, outer)

noted(weights, "_gram", "matrix")  # once per matrix that is small
noted(matching, "_random_pair", "matching")  # once per layer and matrix
noted(layer_weights.LayerLoader, "fill", "layer")

replace, count = Path.replace, 0

def counted(self, target):
    global count
    if Path(cache) not in self.parents:
        return replace(self, target)
    count += 1
    if moment == "before" and count == int(when):
        os.kill(os.getpid(), signal.SIGKILL)
    done = replace(self, target)
    if moment == "after" and count == int(when):
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Path.replace = counted

import pytest
options += ["--moe-cache", cache, "--moe-report", report]
status = pytest.main(["claims/", "-q", "-p", "no:cacheprovider", *options])
print("files", count, file=log)
sys.exit(status)
"""


def _run(folder: Path, *, when: int = 0, moment: str = "after") -> int:
    options = ["--model", MODEL, "--moe-tokens", "200", "--moe-report-only"]
    options.append("--ignore=claims/look_into_moes/test_audits.py")  # one of which runs a model of its own
    command = [sys.executable, "-c", DRIVER, str(folder / "log"), str(folder / "cache"), str(folder / "report")]
    done = subprocess.run(
        [*command, str(when), moment, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode


def _work(folder: Path) -> Counter[str]:
    return Counter(line for line in (folder / "log").read_text().splitlines() if not line.startswith("files"))


def _results(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "report" / "results.json").read_text())
    return results | {"created": None}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert _run(folder) == 0
    # Of the model and of its control: three matrices of each layer, three matchings, and the layer itself.
    assert _work(folder) == {"matrix": 2 * 3 * LAYERS, "matching": 2 * 3 * LAYERS, "layer": 2 * LAYERS}
    return folder


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize(
    ("share", "moment"), [(0.02, "after"), (0.2, "before"), (0.36, "before"), (0.42, "after"), (0.87, "after")]
)
def test_a_killed_run_repeats_one_layer_at_most(share: float, moment: str, undisturbed: Path, tmp_path: Path) -> None:
    files = int((undisturbed / "log").read_text().split("files ")[1])
    assert _run(tmp_path, when=max(1, round(share * files)), moment=moment) == -signal.SIGKILL
    assert not (tmp_path / "report" / "results.json").exists()
    before = _work(tmp_path)
    assert _run(tmp_path) == 0
    assert before  # something had been measured
    again = _work(tmp_path) - _work(undisturbed)
    assert again in ({}, {"matrix": 3}, {"matching": 1}, {"layer": 1})
    assert _results(tmp_path) == _results(undisturbed)
    assert not list((tmp_path / "cache").glob("*-after-*"))
