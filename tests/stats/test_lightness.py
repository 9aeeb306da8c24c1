"""Statistics and the values they are given import no heavy library: claims use them while pytest collects."""

import subprocess
import sys
from pathlib import Path

import moe_claims

ROOT = Path(moe_claims.__file__).parent
LIGHT = (*sorted((ROOT / "stats").glob("*.py")), ROOT / "measure" / "measurement.py", ROOT / "measure" / "measured.py")
HEAVY = {"matplotlib", "pandas", "safetensors", "scipy", "tokenizers", "torch", "transformers"}

SCRIPT = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name, *sorted({module.partition(".")[0] for module in sys.modules}))
"""


def test_no_statistic_imports_a_heavy_library() -> None:
    names = [".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in LIGHT]
    assert len(names) > 20
    done = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in lines] == names
    # All in one process: the first module after which something heavy is there is the one that imported it.
    assert {name: sorted(HEAVY.intersection(loaded)) for name, *loaded in lines if HEAVY.intersection(loaded)} == {}
