"""How the tests are run: by two workers, without the long campaigns, and with what they share made once.

``conftest.py`` registers this file as a plugin. None of it is in ``addopts``, which would reach ``pytest claims/``
too: how those tests are run is up to the user.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
WORKERS = 2
CAMPAIGN = "campaign"
_LEFT = pytest.StashKey[dict[str, int]]()


# --- workers --------------------------------------------------------------------------------------


def workers(config: pytest.Config, cpus: int) -> int | None:
    """How many workers the tests get where nobody said it; None where one process is better, or was asked for."""
    option = config.option
    here = config.invocation_params.dir
    paths = [(here / argument.partition("::")[0]).resolve() for argument in config.args]
    if not all(path == HERE or HERE in path.parents for path in paths):
        return None  # other tests than those of the package
    if hasattr(config, "workerinput") or not hasattr(option, "numprocesses"):
        return None  # inside a worker, or without pytest-xdist
    if option.numprocesses is not None or option.tx or option.distload or option.dist != "no":
        return None  # somebody has said it
    # What is looked at while it runs, or runs nothing, stays in one process.
    if option.usepdb or option.trace or option.capture == "no" or option.collectonly or _shows(option):
        return None
    if all("::" in argument for argument in config.args) or all(path.is_file() for path in paths):
        return None  # a file or a test: to start workers takes longer
    return min(WORKERS, cpus) if cpus > 1 else None


def _shows(option: Any) -> bool:
    names = ("showfixtures", "show_fixtures_per_test", "markers", "help", "setuponly", "setupplan", "setupshow")
    return any(getattr(option, name, False) for name in names)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_workers(config: pytest.Config) -> None:
    """Sets what ``-n`` and ``--dist`` set."""
    if (number := workers(config, _cpus())) is not None:
        config.option.numprocesses, config.option.dist = number, "worksteal"


# --- campaigns ------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked ``campaign`` to their tox environment, unless ``-m`` or their own name asks for them."""
    if CAMPAIGN in config.option.markexpr:
        return
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    alone = {argument.rpartition("/")[2] for argument in config.args if "::" in argument}
    for item in items:
        named = any(item.nodeid.rpartition("/")[2].startswith(name) for name in alone)
        (kept if named or item.get_closest_marker(CAMPAIGN) is None else left).append(item)
    if left:
        items[:] = kept
        config.hook.pytest_deselected(items=left)
    config.stash[_LEFT] = dict(Counter(item.get_closest_marker(CAMPAIGN).args[0] for item in left))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[CAMPAIGN] = session.config.stash.get(_LEFT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker collects all tests, and so leaves out the same ones."""
    left = getattr(node, "workeroutput", {}).get(CAMPAIGN)
    if left is not None:
        node.config.stash[_LEFT] = left


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for environment, number in sorted(config.stash.get(_LEFT, {}).items()):
        terminalreporter.write_line(f"{number} long tests were left to 'tox -e {environment}'")


# --- made once for all workers --------------------------------------------------------------------


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """(name, make) → a folder that ``make(folder)`` filled in one worker and that all of them read."""
    from filelock import FileLock

    inside = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if inside else base  # workers have folders of their own beside each other

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder = shared / f"once-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"
        done = folder.with_suffix(".done")
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed in it
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once
