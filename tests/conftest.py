"""What all tests share: their environment, what is an error, and the fixtures of the files beside this one."""

import os

# Before torch and huggingface_hub are imported by anyone: one thread per process, and no network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# Runs inside the tests are no steps of the workflow that runs the tests.
os.environ.pop("GITHUB_STEP_SUMMARY", None)

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    pass


def _beside(name: str) -> ModuleType:
    """A file beside this one: tests are no package, so that it has no name to import it by."""
    spec = importlib.util.spec_from_file_location(f"moe_claims_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


suite = _beside("suite")


def pytest_configure(config: pytest.Config) -> None:
    for module in (suite, _beside("plain_models"), _beside("made_up")):
        config.pluginmanager.register(module, module.__name__)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Before pytest-xdist reads its options, and before plugins are configured."""
    suite.choose_workers(config)


# The machines that run this are shared: how long an example takes says nothing about the code.
settings.register_profile("moe_claims", deadline=None)
settings.load_profile("moe_claims")


STRICT = os.environ.get("MOE_CLAIMS_NEWEST") == "strict"
"""Whether what a newer release of a dependency brings is a failure: in ``tox -e newest``, which asks for just that."""
_AHEAD = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
"""What dependencies say of releases to come, so that a new release says more of it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the package's own tests every warning is an error; users' runs of the claims are left alone.

    These tests must pass with every release that is allowed, next month's too: what only the newest can answer is
    asked in an environment of its own, and what releases say of later ones is shown, and an error there.
    """
    if not STRICT:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("newest")])
        items[:] = [item for item in items if not item.get_closest_marker("newest")]
    filters = ["error"] if STRICT else ["error", *(f"default::{kind}" for kind in _AHEAD)]
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(*filters), append=False)


@pytest.fixture(scope="session")
def newer_than_the_table() -> str:
    """What to say where transformers is newer than the table of families, and nobody asked about the newest."""
    return "" if STRICT else _other_release("newer", lambda installed, made_with: installed > made_with)


@pytest.fixture(scope="session")
def other_than_the_table(newer_than_the_table: str) -> str:
    """The same, also where transformers is older and so knows fewer families."""
    return newer_than_the_table or _other_release("older", lambda installed, made_with: installed < made_with)


def _other_release(how: str, is_other: Callable[[tuple[int, ...], tuple[int, ...]], bool]) -> str:
    import transformers
    from packaging.version import Version

    from moe_claims.models.families.listing import MADE_WITH

    installed, made_with = (Version(version).release[:2] for version in (transformers.__version__, MADE_WITH))
    if not is_other(installed, made_with):
        return ""
    return f"transformers {transformers.__version__} is {how} than the table of families, made with {MADE_WITH}"


@pytest.fixture(scope="session", autouse=True)
def _options_of_runs_inside() -> Iterator[None]:
    """Runs of pytest inside the tests take no options from outside, and import no hypothesis to print nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
        yield
