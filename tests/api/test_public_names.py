"""The names of ``moe_claims``: each on first use, none before it."""

import subprocess
import sys
from pathlib import Path

import pytest

import moe_claims

NAMES = ["MoeClaimsError", "Report", "__version__", "evaluate", "figure", "load", "measurements"]
"""A name that goes or changes its meaning breaks programs of others: that takes a major version."""


def test_the_public_names_are_those_that_are_held() -> None:
    assert moe_claims.__all__ == NAMES
    assert set(NAMES) <= set(dir(moe_claims))
    namespace: dict[str, object] = {}
    exec("from moe_claims import *", namespace)
    assert set(NAMES) <= set(namespace)
    for name in NAMES[1:2] + NAMES[3:]:
        assert namespace[name].__doc__
        assert namespace[name] is getattr(moe_claims, name)


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f":: moe_claims.{name}" not in page and name != "__version__"] == []


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"^module 'moe_claims' has no attribute 'evaluat'$"):
        _ = moe_claims.evaluat  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["evaluate", "figure", "load", "measurements", "Report"])
def test_a_name_loads_nothing_heavy_before_it_is_called(name: str) -> None:
    heavy = "{'torch', 'transformers', 'scipy', 'pandas', 'matplotlib', 'rich', 'pytest'}"
    code = f"import sys, moe_claims; moe_claims.{name}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
