"""Killed at any point, a run goes on where it was: at most one layer again, and the same results."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork and no SIGKILL")
LAYERS = 3
MODEL = f"synthetic:planted?layers={LAYERS}&experts=4&hidden=16&intermediate=8&context=24"
ROOT = Path(__file__).parents[2]

# Runs of a user, with a log of their work; one kills itself before or after a file takes its place in the store.
# Every run is a process of its own, forked from one that has imported what is slow to import and has done nothing else.
# Figures are left out: they are drawn after all that is measured, from what the store holds by then.
DRIVER = """
import json, os, signal, sys, traceback
from pathlib import Path

import scipy.stats
import torch
import transformers.models.mixtral.modeling_mixtral

import moe_claims.measure.matching as matching
import moe_claims.measure.weights as weights
import moe_claims.models.forward.layer_weights as layer_weights
from moe_claims.figures import report_figures

report_figures.REPORTED = ()

def run(log, cache, report, when, moment, *options):
    log = open(log, "a", buffering=1)

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
        nonlocal count
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
    options += ("--moe-cache", cache, "--moe-report", report)
    status = pytest.main(["claims/", "-q", "-p", "no:cacheprovider", *options])
    print("files", count, file=log)
    return status

for line in sys.stdin:
    printed, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            status = int(run(*arguments))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[..., int]]:
    """(folder, when=0, moment="after") → the exit status of a run with log, cache and report in that folder."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdin is not None and driver.stdout is not None
    asked, answered = driver.stdin, driver.stdout

    def run(folder: Path, *, when: int = 0, moment: str = "after") -> int:
        options = ["--model", MODEL, "--moe-tokens", "200", "--moe-report-only"]
        options.append("--ignore=claims/look_into_moes/test_audits.py")  # one of which runs a model of its own
        names = [str(folder / name) for name in ("printed", "log", "cache", "report")]
        print(json.dumps([*names, str(when), moment, *options]), file=asked, flush=True)
        status = int(answered.readline())
        assert status in (0, -signal.SIGKILL), (folder / "printed").read_text()
        return status

    yield run
    asked.close()
    assert driver.wait() == 0
    answered.close()


def _work(folder: Path) -> Counter[str]:
    return Counter(line for line in (folder / "log").read_text().splitlines() if not line.startswith("files"))


def _results(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "report" / "results.json").read_text())
    return results | {"created": None}


@pytest.fixture(scope="module")
def undisturbed(run: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(folder) == 0
    # Of the model and of its control: three matrices of each layer, three matchings, and the layer itself.
    assert _work(folder) == {"matrix": 2 * 3 * LAYERS, "matching": 2 * 3 * LAYERS, "layer": 2 * LAYERS}
    return folder


@pytest.mark.parametrize(
    ("share", "moment"),
    [
        (0.02, "after"),
        (0.2, "before"),
        (0.87, "after"),
        pytest.param(0.36, "before", marks=pytest.mark.campaign("long")),
        pytest.param(0.42, "after", marks=pytest.mark.campaign("long")),
    ],
)
def test_a_killed_run_repeats_one_layer_at_most(
    share: float, moment: str, run: Callable[..., int], undisturbed: Path, tmp_path: Path
) -> None:
    files = int((undisturbed / "log").read_text().split("files ")[1])
    assert run(tmp_path, when=max(1, round(share * files)), moment=moment) == -signal.SIGKILL
    assert not (tmp_path / "report" / "results.json").exists()
    before = _work(tmp_path)
    assert run(tmp_path) == 0
    assert before  # something had been measured
    again = _work(tmp_path) - _work(undisturbed)
    assert again in ({}, {"matrix": 3}, {"matching": 1}, {"layer": 1})
    assert _results(tmp_path) == _results(undisturbed)
    assert not list((tmp_path / "cache").glob("*-after-*"))
