"""Who imports what: the package is cheap to import, its rooms keep to their doors, and each stands alone."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import moe_claims

PACKAGE = Path(moe_claims.__file__).parent
HEAVY = {
    "torch",
    "transformers",
    "scipy",
    "safetensors",
    "huggingface_hub",
    "tokenizers",
    "rich",
    "datasets",
    "pyarrow",
}


def _modules(folder: str = "") -> list[str]:
    """Dotted names of all modules below a folder of the package; claims of a wheel are tests, and none of them."""
    found = []
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[1:2] != ("claims",):
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def _run(code: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *options, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


_LOADED = """
import importlib, json, sys
seen = []
for group in json.loads(sys.argv[1]):
    for name in group:
        importlib.import_module(name)
    seen.append(sorted({name.partition(".")[0] for name in sys.modules}))
print(json.dumps(seen))
"""


def test_package_plugin_and_reports_are_light() -> None:
    reports = [name for name in _modules("report") if name != "moe_claims.report"]
    assert len(reports) >= 4
    groups = [["moe_claims", "moe_claims.pytest_plugin.hooks"], reports]
    start, after_reports = (set(names) for names in json.loads(_run(_LOADED, json.dumps(groups))))
    assert not start & HEAVY
    assert not after_reports & {"torch", "transformers", "scipy"}


_ALONE = """
import importlib, json, sys
failed = {}
for name in json.loads(sys.argv[1]):
    for loaded in [m for m in sys.modules if m.partition(".")[0] == "moe_claims"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""


def test_every_module_imports_alone_without_a_warning() -> None:
    # Alone of the package: what others would have imported first is forgotten before each.
    modules = _modules()
    assert len(modules) > 50
    assert json.loads(_run(_ALONE, json.dumps(modules), options=("-W", "error"))) == {}


def _imports(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, in functions and under TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _outside(folder: str, allowed: tuple[str, ...]) -> set[tuple[str, str]]:
    """(file, import) of everything that is neither allowed nor of the standard library."""
    return {
        (path.name, name)
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        for name in _imports(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not any(name == door or name.startswith(f"{door}.") for door in allowed)
    }


def test_statistics_know_numbers_alone() -> None:
    assert len(list((PACKAGE / "stats").glob("*.py"))) > 5
    assert _outside("stats", ("numpy", "scipy", "moe_claims.types", "moe_claims.stats")) == set()


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("report", ("torch", "scipy", "transformers", "moe_claims.models", "moe_claims.measure", "moe_claims.stats")),
        ("models", ("moe_claims.measure", "moe_claims.stats", "moe_claims.packs.look_into_moes", "moe_claims.report")),
        ("texts", ("torch", "moe_claims.models", "moe_claims.measure", "moe_claims.stats", "moe_claims.report")),
        ("measure", ("moe_claims.packs.look_into_moes", "moe_claims.report")),
        ("judge", ("torch", "moe_claims.report", "moe_claims.pytest_plugin.hooks")),
        (
            "figures",
            (
                "torch",
                "transformers",
                "moe_claims.models.loading",
                "moe_claims.measure.measurer",
                "moe_claims.pytest_plugin.hooks",
            ),
        ),
    ],
)
def test_flow_has_one_direction(folder: str, forbidden: tuple[str, ...]) -> None:
    found = {name for _, name in _outside(folder, ())}
    wrong = {name for name in found if any(name == door or name.startswith(f"{door}.") for door in forbidden)}
    assert wrong == set()


def test_a_forbidden_import_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "def f():\n    from moe_claims import models\n    import torch.nn\nfrom moe_claims.types import Audit"
    )
    assert _imports(path) == {"moe_claims.models", "torch.nn", "moe_claims.types.Audit"}
