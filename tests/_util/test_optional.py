"""The optional extra: looked for without an import, and asked for by name."""

import subprocess
import sys
import types

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


@pytest.mark.parametrize("make", [optional.check, optional.load])
def test_missing_library(make: types.FunctionType) -> None:
    with pytest.raises(UsageError) as caught:
        make("no_such_library", "a.parquet")
    assert str(caught.value) == (
        "'a.parquet' needs the library 'no_such_library', which is not installed: pip install 'moe-claims[data]'"
    )


def test_library_that_cannot_be_imported() -> None:
    with pytest.raises(UsageError) as caught:
        optional.load("json.no_such_part", "a.parquet")
    assert str(caught.value) == (
        "'a.parquet' needs 'json.no_such_part', which cannot be imported (No module named 'json.no_such_part'): "
        "pip install 'moe-claims[data]'"
    )
