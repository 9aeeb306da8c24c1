"""The optional extra: looked for without an import, and asked for by name; and how to install what is missing."""

import json
import subprocess
import sys
import types
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from moe_claims._util import optional
from moe_claims.errors import UsageError


def test_installed_library_is_loaded() -> None:
    optional.check("json", "a.json")
    assert optional.load("json.decoder", "a.json").JSONDecodeError.__name__ == "JSONDecodeError"


def test_checking_imports_nothing() -> None:
    code = "import sys\nfrom moe_claims import texts\ntexts.check_name('gsm8k')\nprint('datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class Installed:
    """A distribution as importlib.metadata describes it, with the record of where it was installed from."""

    def __init__(self, record: str | None) -> None:
        self._record = record

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._record


WHEEL = '{"archive_info": {}, "url": "file:///a.whl"}'
CLONE = json.dumps({"dir_info": {"editable": True}, "url": "file:///clone"})
FOLDER = json.dumps({"dir_info": {}, "url": "file:///clone"})


@pytest.mark.parametrize(
    ("record", "clone"),
    [(None, False), (WHEEL, False), (FOLDER, False), ("not JSON", False), ("[]", False), (CLONE, True)],
)
def test_the_command_is_that_of_this_installation(
    record: str | None, clone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional, "distribution", lambda name: Installed(record))
    if clone:
        assert optional.install_command("data") == "pip install -e '.[data]' in the clone"
        assert optional.install_command() == "pip install -e . in the clone"
        assert optional.repair() == "run 'git restore moe_claims' in the clone"
    else:
        assert optional.install_command("data") == "pip install 'moe-claims[data]'"
        assert optional.install_command() == "pip install moe-claims"
        assert optional.repair() == "install moe-claims again"


def test_what_is_not_installed_is_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(optional, "distribution", missing)
    assert optional.install_command("data") == "pip install -e '.[data]' in the clone"


@pytest.mark.parametrize("make", [optional.check, optional.load])
def test_missing_library(make: types.FunctionType) -> None:
    with pytest.raises(UsageError) as caught:
        make("no_such_library", "a.parquet")
    assert str(caught.value) == (
        "'a.parquet' needs the library 'no_such_library', which is not installed: " + optional.install_command("data")
    )


def test_library_that_cannot_be_imported() -> None:
    with pytest.raises(UsageError) as caught:
        optional.load("json.no_such_part", "a.parquet")
    assert str(caught.value) == (
        "'a.parquet' needs 'json.no_such_part', which cannot be imported (No module named 'json.no_such_part'): "
        + optional.install_command("data")
    )
