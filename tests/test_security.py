"""A model from anywhere is data: nothing of it runs, and nothing beside it is opened."""

import ast
import ctypes
import json
import os
import pickle
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import moe_claims
from moe_claims.errors import ModelError
from moe_claims.models.config import as_object
from moe_claims.models.storage import hub_cache
from moe_claims.models.storage.tensor_source import SafetensorsFolder
from moe_claims.models.synthetic.random_init import initialise
from moe_claims.pytest_plugin import untrusted_paths

ROOT = Path(__file__).parents[1]
PYTEST = (sys.executable, "-m", "pytest", "--import-mode=importlib", "-p", "no:cacheprovider", "-q")
FILES = sorted(
    path
    for place in (
        Path(moe_claims.__file__).parent,
        *(ROOT / name for name in ("claims", "benchmarks", "experiments", ".ci")),
    )
    for path in place.rglob("*.py")
) + sorted(path for path in [ROOT / "conftest.py"] if path.exists())

# --- what the code may not do ----------------------------------------------------------------------

RUNS_WHAT_IT_READS = {
    "pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy", "code", "codeop",
    "torch.load", "torch.jit.load", "torch.hub", "torch.package", "torch.serialization", "torch.distributed.checkpoint",
    "pandas.read_pickle", "numpy.lib.npyio", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all",
    "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader",
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader",
    "transformers.dynamic_module_utils",
    "builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__",
}  # fmt: skip
"""Modules and functions that run what they are given, or read what may run."""

MUST_BE_FALSE = ("trust_remote_code", "allow_pickle", "shell", "use_kernels", "allow_all_kernels")
"""Arguments that may only be said to be False."""

MUST_SAY = {"numpy.load": "allow_pickle", "from_pretrained": "trust_remote_code", "from_config": "trust_remote_code"}
"""Functions (the latter two of any class) that must say it."""


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


class _Reader(ast.NodeVisitor):
    """Notes what a file does of all this, under whatever name it imports it."""

    def __init__(self, tree: ast.AST) -> None:
        self.found: list[tuple[int, str]] = []
        self._meant: dict[str, str] = {name: f"builtins.{name}" for name in ("eval", "exec", "compile", "__import__")}
        self._said: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    self._meant[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                self._meant |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        for node in ast.walk(tree):  # t = torch
            if isinstance(node, ast.Assign) and (meant := self._dotted(node.value)):
                self._meant |= {target.id: meant for target in node.targets if isinstance(target, ast.Name)}

    def _dotted(self, node: ast.AST) -> str:
        """What an expression names, as it is called where it is from; empty where it cannot be told."""
        if isinstance(node, ast.Name):
            return self._meant.get(node.id, "")
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[-1], ast.Constant):
            called, last = ast.unparse(node.func), str(node.args[-1].value)
            if called == "getattr" and len(node.args) == 2 and (before := self._dotted(node.args[0])):
                return f"{before}.{last}"
            if called.endswith(("import_module", "__import__")):
                return last
        return ""

    def _note(self, node: ast.AST, what: str) -> None:
        self.found.append((getattr(node, "lineno", 0), what))

    def _named(self, node: ast.AST, name: str) -> None:
        parts = name.split(".")
        if any(".".join(parts[:count]) in RUNS_WHAT_IT_READS for count in range(1, len(parts) + 1)):
            self._note(node, name)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._named(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._named(node, f"{node.module}.{alias.name}")

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name | ast.Attribute | ast.Call):
            self._named(node, self._dotted(node))
        if isinstance(node, ast.Name | ast.Attribute) and self._dotted(node) == "numpy.load" and node not in self._said:
            self._note(node, "numpy.load without allow_pickle=False")
        if isinstance(node, ast.Call):
            self._call(node)
        if isinstance(node, ast.Constant) and node.value in MUST_BE_FALSE[:2]:  # a key of settings that are handed on
            self._note(node, f"'{node.value}'")
        super().generic_visit(node)

    def _call(self, node: ast.Call) -> None:
        arguments = {keyword.arg: keyword.value for keyword in node.keywords}
        for name in MUST_BE_FALSE:
            if name in arguments and not _is_false(arguments[name]):
                self._note(node, f"{name}={ast.unparse(arguments[name])}")
        last = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        for name in (self._dotted(node.func), last):
            if name in MUST_SAY:
                if MUST_SAY[name] in arguments:
                    self._said.add(node.func)  # and whether it is False was seen above
                elif name != "numpy.load":
                    self._note(node, f"{name} without {MUST_SAY[name]}=False")


def dangers(source: str) -> list[tuple[int, str]]:
    """(line, what) of everything in a file that could run what it reads."""
    tree = ast.parse(source)
    reader = _Reader(tree)
    reader.visit(tree)
    return sorted(set(reader.found))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(path.parents[1])))
def test_no_file_could_run_what_it_reads(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert dangers(source) == []
    assert dangers(f"{source}\nimport pickle\n") != []  # this file is looked at


def test_all_code_is_looked_at() -> None:
    names = {path.name for path in FILES}
    assert len(FILES) > 100
    assert {"tensor_source.py", "loading.py", "store.py", "test_router_norm.py", "train.py"} <= names


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import dill as d",
        "def f():\n    from cloudpickle import loads",
        "import joblib.numpy_pickle",
        "import marshal, json",
        "from importlib import import_module\nimport_module('pickle')",
        "__import__('dill').load(f)",
        "import importlib\nimportlib.import_module('shelve')",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=True)",
        "import torch as t\nmodel = t.load(path)",
        "from torch import load",
        "from torch import load as read",
        "import torch\nread = torch.load",
        "import torch\nt = torch\nt.load(path)",
        "import torch\ngetattr(torch, 'load')(path)",
        "import torch.jit\ntorch.jit.load(path)",
        "import torch\ntorch.hub.load('a/b', 'c')",
        "from torch.serialization import load",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=trusted)",
        "import numpy as np\nread = np.load",
        "from numpy import load\nload(path)",
        "import numpy as np\nnp.lib.format.read_array(file, allow_pickle=True)",
        "import numpy as np\nnp.load(path, **{'allow_pickle': True})",
        "import pandas as pd\npd.read_pickle(path)",
        "AutoModel.from_pretrained(name)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "AutoModel.from_config(config, trust_remote_code=trusted)",
        "AutoModel.from_config(config, trust_remote_code=not False)",
        "AutoModel.from_config(config, **{'trust_remote_code': True})",
        "settings['trust_remote_code'] = True",
        "build(config, trust_remote_code=1)",
        "from transformers.dynamic_module_utils import get_class_from_dynamic_module",
        "eval(text)",
        "exec(text)",
        "list(map(eval, texts))",
        "import builtins\nbuiltins.exec(text)",
        "compile(text, 'x', 'exec')",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "from yaml import unsafe_load as load",
        "import subprocess\nsubprocess.run(line, shell=True)",
        "from subprocess import Popen\nPopen(line, shell=asked)",
        "import subprocess\nsubprocess.getoutput(line)",
        "import os\nos.system(line)",
        "from os import popen",
        "import runpy",
        "from importlib.util import spec_from_file_location",
    ],
)
def test_what_is_planted_is_found(code: str) -> None:
    assert dangers(code) != []
    last = len(code.splitlines())
    assert max(line for line, _ in dangers("x = 1\n" + code)) == last + 1


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "import re\nre.compile('x')",
        "import json\njson.load(file)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import numpy as np\nwith np.load(io.BytesIO(content), allow_pickle=False) as file:\n    pass",
        "AutoModel.from_config(config, dtype=dtype, trust_remote_code=False)",
        "import yaml\nyaml.safe_load(text)",
        "import subprocess\nsubprocess.run([sys.executable], shell=False)",
        "from importlib import import_module\nimport_module(name)",
        "import torch\ngetattr(torch, dtype)",
        "from safetensors.torch import load_file",
        "'''pickle, torch.load and trust_remote_code=True are never used.'''",
        "raise ModelError('holds pickled weights')",
    ],
)
def test_what_is_harmless_is_not(code: str) -> None:
    assert dangers(code) == []


# --- malicious models, through the real command lines ----------------------------------------------

MODULE = "from pathlib import Path\nPath({!r}).touch()\nclass X: pass\n"


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that only comes to be if something of a model runs."""
    path = tmp_path / "it-ran"
    yield path
    assert not path.exists()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A good file of weights that is none of the model's."""
    path = tmp_path / "elsewhere" / "x.safetensors"
    path.parent.mkdir()
    save_file({"model.layers.0.block_sparse_moe.gate.weight": torch.ones(4, 16)}, path)
    return path


class Watch:
    """Counts how often a file is opened, by whichever process and in whichever language."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = self._libc.inotify_init1(os.O_NONBLOCK)
        in_open = 0x20
        assert self._libc.inotify_add_watch(self._handle, os.fsencode(path), in_open) >= 0, os.strerror(
            ctypes.get_errno()
        )

    def opened(self) -> bool:
        """Since it was last asked."""
        try:
            return bool(os.read(self._handle, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._handle)


@contextmanager
def _unopened(path: Path) -> Iterator[None]:
    """For the length of a block, nobody opens a file."""
    if not sys.platform.startswith("linux"):
        yield
        return
    watch = Watch(path)
    try:
        path.read_bytes()
        assert watch.opened()  # the watch works
        yield
        assert not watch.opened(), f"{path} was opened"
    finally:
        watch.close()


def _poisoned(folder: Path, marker: Path) -> None:
    """Whatever could run, beside the weights."""
    for name in ("pytorch_model.bin", "model.pt", "consolidated.00.pth", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Trap(marker)))
    for name in ("modeling_x.py", "configuration_x.py", "tokenization_x.py", "__init__.py", "conftest.py", "setup.py"):
        (folder / name).write_text(MODULE.format(str(marker)))
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["auto_map"] = {"AutoConfig": "configuration_x.X", "AutoModelForCausalLM": "modeling_x.X"}
    config |= {"_attn_implementation": "someone/kernel", "experts_implementation": "someone/kernel"}
    path.write_text(json.dumps(config))
    tokenizer = {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


def _measure(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    output = folder.parent / "measured.npz"
    command = [sys.executable, "-m", "moe_claims", "measure", str(folder), "--output", str(output), *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder.parent / "kept")}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent, env=environment)


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 4
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line.removeprefix("error: ")


def test_traps_work(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Trap(marker)))
    assert marker.exists()
    marker.unlink()
    module = tmp_path / "modeling_x.py"
    module.write_text(MODULE.format(str(marker)))
    runpy.run_path(str(module))
    assert marker.exists()


def test_a_model_that_brings_code_is_measured_without_it(copied: Callable[..., Path], marker: Path) -> None:
    folder = copied("mixtral")
    ids = folder.parent / "ids.json"
    ids.write_text("[[3, 4, 5, 6], [7, 8, 9]]")
    arguments = ("--token-ids", str(ids), "--what", "weights,outputs")
    found = []
    for poisoned in (False, True):
        if poisoned:
            _poisoned(folder, marker)
        done = _measure(folder, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        with np.load(folder.parent / "measured.npz", allow_pickle=False) as arrays:
            found.append(dict(arrays))
    assert all(np.array_equal(found[0][name], values) for name, values in found[1].items())


def test_pickled_weights_are_refused_by_the_command_line(copied: Callable[..., Path], marker: Path) -> None:
    folder = copied("mixtral")
    _poisoned(folder, marker)
    (folder / "model.safetensors").unlink()
    line = _one_line(_measure(folder))
    assert line.startswith(f"'{folder}' holds pickled weights (pytorch_model.bin), which are never loaded: ")


def test_a_family_that_only_the_models_own_code_knows_is_refused(copied: Callable[..., Path], marker: Path) -> None:
    folder = copied("mixtral")
    _poisoned(folder, marker)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "x", "architectures": ["X"]}
    (folder / "config.json").write_text(json.dumps(config))
    assert _one_line(_measure(folder)).startswith(
        "'" + str(folder) + "' has model_type 'x', which cannot be read yet: "
    )


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_an_index_that_points_outside_is_refused(
    kind: str, copied: Callable[..., Path], marker: Path, outside: Path
) -> None:
    folder = copied("mixtral")
    (folder / "model.safetensors").unlink()
    shard = str(outside) if kind == "absolute" else "../elsewhere/x.safetensors"
    assert (folder / shard).exists()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.layers.0.block_sparse_moe.gate.weight": shard}}))
    with _unopened(outside):
        line = _one_line(_measure(folder, "--what", "weights"))
    assert line == (
        f"'{index}' names '{shard}' as a file of weights, which is no file name: nothing outside a model's own folder "
        "is read; get the model from a source you trust"
    )


def _pointing_outside(folder: Path, outside: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": f"../elsewhere/{outside.name}"}})
    )


def _header(folder: Path, header: bytes, length: int | None = None) -> None:
    claimed = (len(header) if length is None else length).to_bytes(8, "little")
    (folder / "model.safetensors").write_bytes(claimed + header + bytes(8))


_A = b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
DAMAGE: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "outside": (_pointing_outside, "which is no file name"),
    "beyond": (
        lambda f, _: _header(f, b"{" + _A.replace(b"8", b"8000").replace(b"[2]", b"[2000]") + b"}"),
        "should take 8,000 bytes",
    ),
    "twice": (lambda f, _: _header(f, b"{" + _A + b"," + _A.replace(b"F32", b"I32") + b"}"), "stands in it twice"),
    "huge": (
        lambda f, _: _header(f, b"{" + _A + b"}", 1 << 62),
        "its header of 4,611,686,018,427,387,904 bytes does not fit",
    ),
    "pickled": (lambda f, _: (f / "model.safetensors").unlink(), "holds pickled weights"),
    "config": (
        lambda f, _: (f / "config.json").write_text('{"model_type": "mixtral", "model_type": "x"}') and None,
        "the key 'model_type' stands in it twice",
    ),
}


def test_pytest_refuses_each_in_one_line(
    saved: Callable[..., Path], tmp_path: Path, marker: Path, outside: Path
) -> None:
    import shutil

    models = []
    for name, (damage, _) in DAMAGE.items():
        folder = Path(shutil.copytree(saved("mixtral"), tmp_path / name))
        _poisoned(folder, marker)
        damage(folder, outside)
        models.append(folder)
    options = [part for folder in models for part in ("--model", str(folder))]
    claims = ROOT / "claims"
    command = [sys.executable, "-m", "pytest", str(claims), "--import-mode=importlib", "-p", "no:cacheprovider", "-q"]
    command += [*options, "--moe-cache", str(tmp_path / "cache"), "--moe-profile", "quick", "-k", "router_norm"]
    with _unopened(outside):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr
    errors = json.loads((tmp_path / "claims-report" / "results.json").read_text())["errors"]
    for folder, (_, said) in zip(models, DAMAGE.values(), strict=True):
        messages = {str(error) for error in errors if str(folder) in str(error)}
        assert any(said in message for message in messages), (said, messages)
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ("claims", "--model", "{model}"),
        ("--model", "{model}", "claims"),
        ("claims", "--model={model}"),
        ("claims", "--moe-model", "{model}"),
        ("claims", "--model", "{model}", "-n", "1"),
        ("claims", "--model", "synthetic:planted", "--moe-dense-reference", "{model}/dense"),
        ("claims", "--model", "synthetic:planted", "--moe-experiments", "{model}"),
    ],
    ids=" ".join,
)
def test_pytest_runs_no_conftest_of_a_model(options: tuple[str, ...], tmp_path: Path, marker: Path) -> None:
    # Before it knows --model, pytest takes what stands behind it for a folder of tests.
    folder = tmp_path / "evil" / "model"
    for place in (folder.parent, folder, folder / "tests", folder / "dense"):
        place.mkdir()
        (place / "conftest.py").write_text(MODULE.format(str(marker)))
        (place / "setup.py").write_text(MODULE.format(str(marker)))
    arguments = [str(ROOT / "claims") if part == "claims" else part.format(model=folder) for part in options]
    command = [*PYTEST, "-k", "no_such_test"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 5, done.stdout[-3000:] + done.stderr  # none was selected


@pytest.mark.parametrize(
    ("options", "where", "refused"),
    [
        (("--moe-model", "{model}"), "model", True),
        (("--moe-model", "{model}"), ".", True),  # above the model, as in a downloaded tree
        (("--model", "{model}", "{claims}"), "model", True),
        (("--moe-model={model}",), "model", False),
    ],
)
def test_pytest_takes_no_settings_from_a_model(
    options: tuple[str, ...], where: str, refused: bool, tmp_path: Path, marker: Path
) -> None:
    model, start = tmp_path / "evil" / "model", tmp_path / "start"
    for place in (model, start):
        place.mkdir(parents=True)
    settings = (model.parent / where).resolve() / "pytest.ini"
    settings.write_text("[pytest]\naddopts = evil_test.py\npythonpath = .\n")
    (settings.parent / "evil_test.py").write_text(MODULE.format(str(marker)) + "def test_x(): pass\n")
    (start / "test_own.py").write_text("def test_own(): pass\n")
    arguments = [part.format(model=model, claims=ROOT / "claims") for part in options]
    command = [*PYTEST, "--collect-only"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=start)
    if not refused:
        assert done.returncode == 0, done.stdout + done.stderr
        return
    assert done.returncode == 4
    assert done.stderr.strip() == (
        f"ERROR: pytest takes its settings from '{settings}', which came with '{model}': remove that file, "
        "or join option and folder by '=' if it is not from there"
    )


def test_what_stands_behind_model_elsewhere_is_left_to_others(tmp_path: Path) -> None:
    places = ["--model", "tests"]
    assert untrusted_paths.tests(["tests"], places, tmp_path) == [
        "tests"
    ]  # another's suite, whose --model takes no value
    assert untrusted_paths.tests(["tests"], places, ROOT) == []
    assert untrusted_paths.tests(
        ["claims/test_x.py::test_y", "m"], ["claims/test_x.py::test_y", "--model", "m"], ROOT
    ) == ["claims/test_x.py::test_y"]
    assert untrusted_paths.settings_of_a_model(None, ["m"], ["--model", "m"], tmp_path) is None
    own = tmp_path / "pytest.ini"
    assert untrusted_paths.settings_of_a_model(own, [], ["--moe-model", "models/m"], tmp_path) is None
    assert untrusted_paths.settings_of_a_model(own, [], ["--moe-model", "."], tmp_path) == "."
    (tmp_path / "sub").mkdir()
    assert untrusted_paths.settings_of_a_model(own, ["../t"], ["--moe-model", "../m"], tmp_path / "sub") is None


# --- smaller doors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["_attn_implementation", "attn_implementation", "experts_implementation", "auto_map"])
def test_a_config_never_chooses_the_code_that_runs_it(name: str, config_of: Any) -> None:
    # With the 'kernels' package, transformers would fetch the repository and run it.
    plain = as_object(config_of("mixtral"))
    chosen = {name: "someone/kernel"}
    for config in (chosen, {"nested": {**chosen, "kept": 1}}, {"listed": [chosen]}):
        made = as_object(config_of("mixtral") | config)
        assert (made._attn_implementation, made._experts_implementation) == (
            plain._attn_implementation, plain._experts_implementation,
        )  # fmt: skip
        assert "someone/kernel" not in str(made.to_dict())
    assert as_object(config_of("mixtral") | {"nested": {"kept": 1}}).nested == {"kept": 1}
    assert initialise(config_of("mixtral") | chosen, seed=1).keys() == initialise(config_of("mixtral"), seed=1).keys()


@pytest.mark.parametrize(
    "name",
    ["modeling_x.py", "tokenizer.py", "tokenizer.pkl", "pytorch_model.bin", "model.pt", "a.pth", "b.ckpt", "c.pickle",
     "d.npz", "e.h5", "tf_model.msgpack", "f.gguf", "g.so", "setup.sh"],
)  # fmt: skip
def test_nothing_that_runs_is_fetched(name: str) -> None:
    assert not any(fnmatch(name, pattern) for pattern in hub_cache.PATTERNS)
    assert any(fnmatch("model-00001-of-00002.safetensors", pattern) for pattern in hub_cache.PATTERNS)


@pytest.mark.parametrize(
    "name", ["'); import os; os.system('touch it-ran') #.bin", '"; touch it-ran; ".pt', "$(id).bin"]
)
def test_a_file_name_never_becomes_part_of_a_command_that_is_offered(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        SafetensorsFolder(tmp_path)
    _, _, command = str(caught.value).partition("python -c ")
    assert f"torch.load('FILE.{name.rpartition('.')[2]}', weights_only=True), 'FILE.safetensors')" in command
    assert "it-ran" not in command
    assert "$" not in command


def test_what_a_model_says_cannot_steer_a_terminal() -> None:
    message = str(ModelError("'\x1b[2J\x1b]0;owned\x07' lacks\nthe tensor 'é–×'"))
    assert message == r"'\x1b[2J\x1b]0;owned\x07' lacks the tensor 'é–×'"
