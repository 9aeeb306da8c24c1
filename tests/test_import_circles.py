"""No two modules import each other, not even inside functions or for types alone."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import moe_claims

ROOT = Path(moe_claims.__file__).parent


def _modules() -> dict[str, Path]:
    def name(path: Path) -> str:
        return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")

    return {name(path): path for path in ROOT.rglob("*.py") if "claims" not in path.relative_to(ROOT).parts[:1]}


def _imported(path: Path, modules: dict[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & set(modules) or {node.module}
    return found & set(modules)


def test_no_modules_import_each_other() -> None:
    modules = _modules()
    assert len(modules) > 100
    graph = {name: _imported(path, modules) - {name} for name, path in modules.items()}
    circle: list[str] = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert not circle, " imports ".join(reversed(circle))
