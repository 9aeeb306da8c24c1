"""Who imports what: the package is cheap to import, its rooms keep to their doors, and each stands alone."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
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
    "matplotlib",
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
    packs = ["moe_claims.packs", "moe_claims.packs.look_into_moes.pack"]
    groups = [["moe_claims", "moe_claims.pytest_plugin.hooks"], packs, reports]
    start, after_packs, after_reports = (set(names) for names in json.loads(_run(_LOADED, json.dumps(groups))))
    assert not start & HEAVY
    assert not after_packs & HEAVY
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


def test_every_module_imports_without_a_warning() -> None:
    code = "import importlib, json, sys\nfor name in json.loads(sys.argv[1]): importlib.import_module(name)"
    _run(code, json.dumps(_modules()), options=("-W", "error"))


@pytest.mark.campaign("long")
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
        ("report", ("torch", "scipy", "transformers")),
        ("texts", ("torch",)),
        ("judge", ("torch", "transformers")),
        ("packs", ("torch", "transformers")),
        ("figures", ("torch", "transformers")),
    ],
)
def test_rooms_that_compute_nothing_heavy_import_nothing_heavy(folder: str, forbidden: tuple[str, ...]) -> None:
    found = {name for _, name in _outside(folder, ())}
    wrong = {name for name in found if any(name == door or name.startswith(f"{door}.") for door in forbidden)}
    assert wrong == set()


def test_a_forbidden_import_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "def f():\n    from moe_claims import models\n    import torch.nn\nfrom moe_claims.types import Audit"
    )
    assert _imports(path) == {"moe_claims.models", "torch.nn", "moe_claims.types.Audit"}


# --- rooms ------------------------------------------------------------------------------------------

ROOT_NAMES = {"__init__", "__main__", "plugin", "testing"}
"""Public names and the start of the command line: no rooms."""
TABLE = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def allowed() -> dict[str, set[str]]:
    """Room → rooms that it may import, as the table of ``docs/architecture.md`` has them."""
    page = Path(__file__).parents[1] / "docs" / "architecture.md"
    rows = TABLE.findall(page.read_text(encoding="utf-8"))
    return {
        room: set() if others.strip() == "–" else {name.strip() for name in others.split(",")} for room, others in rows
    }


def room(module: str) -> str:
    """The room of a module of the package: its folder, or itself where it lies in the root."""
    return module.split(".")[1] if "." in module else "__init__"


@cache
def graph() -> dict[str, set[str]]:
    """Module → modules of the package that it imports anywhere, in functions and for type checking too."""
    modules = set(_modules())
    return {
        module: {
            found
            for name in _imports(_path(module))
            for found in (name, name.rpartition(".")[0])
            if found in modules and found not in ("moe_claims", module)
        }
        for module in modules
    }


def _path(module: str) -> Path:
    path = PACKAGE.parent / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_rooms_import_what_the_table_of_the_architecture_says() -> None:
    table = allowed()
    modules = graph()
    assert {room(module) for module in modules} - ROOT_NAMES == set(table)
    found: dict[str, set[str]] = {name: set() for name in table}
    for module, others in modules.items():
        if room(module) in table:
            found[room(module)] |= {room(other) for other in others} - {room(module)}
    wrong = {name: sorted(found[name] - table[name]) for name in table if found[name] - table[name]}
    assert wrong == {}, "rooms import what their row does not name"


def test_rooms_have_an_order_in_which_nothing_is_imported_upwards() -> None:
    table = {name: others - {"pytest_plugin"} if name == "packs" else others for name, others in allowed().items()}
    assert list(TopologicalSorter(table).static_order())
    facade = [module for module, others in graph().items() if room(module) == "packs" and any(map(_plugin, others))]
    assert facade == ["moe_claims.packs"]  # it gathers public names, 'conclude' among them


def _plugin(module: str) -> bool:
    return room(module) == "pytest_plugin"


def test_no_two_modules_import_each_other() -> None:
    # A package imports nothing by being the parent of a module: what counts is what its own file says.
    TopologicalSorter(graph()).prepare()  # raises CycleError, which names the modules


def test_the_root_is_small_and_no_module_long() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 9
    lengths = {module: len(_path(module).read_text(encoding="utf-8").splitlines()) for module in graph()}
    assert {module: length for module, length in lengths.items() if length > 350} == {}


def test_no_room_bears_the_name_of_a_public_function() -> None:
    assert not set(moe_claims.__all__) & set(allowed())
