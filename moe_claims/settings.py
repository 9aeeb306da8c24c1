"""The options of a run: their table, and ``Settings``, the checked values.

Every option can be given on the command line, in an ini file or as an environment variable.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from moe_claims import texts
from moe_claims.errors import UsageError
from moe_claims.models import device
from moe_claims.models.embedded import DENSE, JUDGED
from moe_claims.models.names import ModelRef, resolve


@final
@dataclass(frozen=True)
class Option:
    """One option: ``--moe-NAME`` on the command line, ``moe_NAME`` in an ini file, ``MOE_CLAIMS_NAME`` in the
    environment.
    """

    name: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    flag: bool = False

    @property
    def dest(self) -> str:
        """Name of the attribute in pytest's parsed options, and of the ini key."""
        return "moe_models" if self.name == "model" else "moe_" + self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return "MOE_CLAIMS_" + self.name.replace("-", "_").upper()


OPTIONS = (
    Option(
        "model",
        "alias, directory, [hub:]org/name[@revision] or synthetic:KIND of the model to judge",
        "NAME",
        repeatable=True,
    ),
    Option(
        "pack",
        "pack of claims to judge: 'python -m moe_claims packs' lists them (default: ours)",
        "NAME",
        repeatable=True,
    ),
    Option("report", "folder of the report (default claims-report)", "DIR"),
    Option("text", f"text to run: {texts.CHOICES} (default builtin)", "NAME|FILE", repeatable=True),
    Option("tokens", "at most this many tokens of each text (default: all of it)", "N"),
    Option("device", f"where to run: {device.CHOICES} (default auto)", device.METAVAR),
    Option("dtype", "of weights and hidden states in the forward pass", choices=("float32", "float64", "bfloat16")),
    Option("profile", "quick: 2,048 tokens, no random-init control", choices=("quick", "full")),
    Option("seed", "of every resampling (default 0)", "N"),
    Option("alpha", "error rate of each family of tests (default 0.05)", "P"),
    Option("cache", "folder of stored measurements (default: the user's cache folder)", "DIR"),
    Option("report-only", "claims that do not replicate pass with a note", flag=True),
    Option("layers", "layers whose neurons are matched, such as 0,15,31 (default: all that take minutes)", "N,N"),
    Option(
        "dense-reference",
        "dense model of the same shape to compare with, named as a model (default: of embedded models, tiny-dense)",
        "NAME",
    ),
    Option("second-model", "model to compare the routing with, such as a tuned one, named as a model", "NAME"),
    Option("download", "fetch models of the hub whole, into its local cache, before they are read", flag=True),
    Option("experiments", "folder of results of trainings to judge (default: those in the package)", "DIR"),
    Option("plan", "say what the run would read, compute, keep and need, and measure nothing", flag=True),
    Option(
        "plan-file", "with --moe-plan, file to write the plan to; without, the plan that the run is bound to", "FILE"
    ),
    Option("cluster", "address of a cluster (not used yet)", "ADDRESS"),
)

_UNUSED = ("cluster",)
_QUICK_TOKENS = 2_048
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@final
@dataclass(frozen=True)
class Settings:
    """The checked options of one run, with defaults filled in."""

    models: tuple[ModelRef, ...]
    packs: tuple[str, ...] | None
    """Names of the packs to judge; None for those that come with this package."""
    texts: tuple[str, ...]
    tokens: int | None
    device: str
    dtype: str
    profile: str
    seed: int
    alpha: float
    cache: Path
    report: Path
    report_only: bool
    layers: tuple[int, ...] | None
    """Layers whose neurons are matched; None for all layers, provided that this takes minutes and not hours."""
    dense_reference: ModelRef | None
    second_model: ModelRef | None
    download: bool
    """Whether hub models are downloaded; if not, those missing in the local cache are read over the network."""
    experiments: Path | None
    """Folder with results of training experiments; None for those in the package."""
    plan: bool = False
    """Whether the run is planned, and nothing measured."""
    plan_file: Path | None = None
    """File that the plan is written to; where nothing is planned, the one that the run is bound to."""

    @property
    def controls(self) -> bool:
        """Whether the random-initialisation control is measured too."""
        return self.profile == "full"


def option_value(option: Option, given: object, ini: object, environment: Mapping[str, str] = os.environ) -> Any:
    """The value of an option as given: on the command line, else in the environment, else in the ini file, else None.

    An empty value counts as not given.
    """
    for value in (given, environment.get(option.variable), ini):
        if value not in (None, "", [], False):
            if option.repeatable and isinstance(value, str):
                return value.split()
            return value
    return None


def _number(name: str, value: object, kind: Callable[[Any], Any], low: float, high: float, wanted: str) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError):
        raise UsageError(f"--moe-{name} {value}: give {wanted}") from None
    if not low <= number <= high:
        raise UsageError(f"--moe-{name} {value}: give {wanted}")
    return number


def _flag(name: str, value: object) -> bool:
    """A flag as bool. The ini file and the command line give a bool, the environment a word."""
    if value is None or isinstance(value, bool):
        return bool(value)
    word = str(value).strip().lower()
    if word not in _TRUE + _FALSE:
        raise UsageError(f"--moe-{name} {value}: give true or false")
    return word in _TRUE


def _folder(name: str, value: object) -> Path:
    path = os.path.expanduser(str(value))  # noqa: PTH111 - pathlib raises for an unknown ~user
    if os.path.lexists(path) and not os.path.isdir(path):  # noqa: PTH112 - pathlib raises for a name too long
        raise UsageError(f"--moe-{name} {value}: this is a file; give a folder, which is made where there is none")
    return Path(path)


def _existing_folder(name: str, value: object) -> Path | None:
    if value is None:
        return None
    path = os.path.expanduser(str(value))  # noqa: PTH111 - pathlib raises for an unknown ~user
    if not os.path.isdir(path):  # noqa: PTH112 - pathlib raises for a name too long
        raise UsageError(f"--moe-{name} {value}: there is no such folder; give the folder that contains the results")
    return Path(path)


def _file(name: str, value: object) -> Path | None:
    if value is None:
        return None
    path = os.path.expanduser(str(value))  # noqa: PTH111 - pathlib raises for an unknown ~user
    if os.path.isdir(path):  # noqa: PTH112 - pathlib raises for a name too long
        raise UsageError(f"--moe-{name} {value}: this is a folder; give a file in it")
    return Path(path)


def _layers(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = [part.strip() for part in str(value).split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--moe-layers {value}: give layer numbers separated by commas, such as 0,15,31")
    return tuple(sorted({int(part) for part in parts}))


def _model(name: str, value: object) -> ModelRef | None:
    try:
        return None if value is None else resolve(str(value))
    except UsageError as error:
        raise UsageError(f"--moe-{name}: {error}") from None


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Checks option values and fills in the defaults.

    Args:
        values: by option name; a missing name or None means that the option was not given.

    Raises:
        UsageError: a value cannot be used; the message names the first such value and the remedy.
    """
    for option in OPTIONS:
        value = values.get(option.name)
        if option.choices and value is not None and value not in option.choices:
            raise UsageError(f"--moe-{option.name} {value}: give one of {', '.join(option.choices)}")
        if option.name in _UNUSED and value is not None:
            raise UsageError(f"--moe-{option.name} {value}: no claim of this version uses it; leave it out")
    profile = values.get("profile") or "full"
    tokens = values.get("tokens")
    if tokens is not None:
        tokens = _number("tokens", tokens, int, 4, 10**12, "a whole number of tokens, 4 or more")
    elif profile == "quick":
        tokens = _QUICK_TOKENS
    names = tuple(dict.fromkeys(values.get("model") or JUDGED))
    wanted = tuple(dict.fromkeys(values.get("text") or ("builtin",)))
    for name in wanted:
        texts.check_name(name)
    models = tuple(resolve(name) for name in names)
    dense = _model("dense-reference", values.get("dense-reference"))
    if dense is None and all(ref.kind == "embedded" for ref in models):
        dense = resolve(DENSE)
    return Settings(
        models=models,
        packs=tuple(dict.fromkeys(values["pack"])) if values.get("pack") else None,
        texts=wanted,
        tokens=tokens,
        device=device.named(values.get("device") or "auto"),
        dtype=values.get("dtype") or "float32",
        profile=profile,
        seed=_number("seed", values.get("seed") or 0, int, 0, 2**63 - 1, "a whole number, 0 or more"),
        alpha=_number("alpha", values.get("alpha") or 0.05, float, 1e-6, 0.5, "a rate between 0.000001 and 0.5"),
        cache=_folder("cache", values.get("cache") or default_cache()),
        report=_folder("report", values.get("report") or "claims-report"),
        report_only=_flag("report-only", values.get("report-only")),
        layers=_layers(values.get("layers")),
        dense_reference=dense,
        second_model=_model("second-model", values.get("second-model")),
        download=_flag("download", values.get("download")),
        experiments=_existing_folder("experiments", values.get("experiments")),
        plan=_flag("plan", values.get("plan")),
        plan_file=_file("plan-file", values.get("plan-file")),
    )


def default_cache() -> Path:
    """The folder of stored measurements where no option names one.

    ``MOE_CLAIMS_CACHE`` names it for pytest and for the commands alike; else it is in the user's cache folder.
    """
    if chosen := os.environ.get("MOE_CLAIMS_CACHE"):
        return Path(os.path.expanduser(chosen))  # noqa: PTH111 - pathlib raises for an unknown ~user
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "moe_claims"
