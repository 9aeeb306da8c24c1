"""Options: where they come from, what they mean by default, and what is said to a value that makes no sense."""

from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.models import embedded as embedded_models
from moe_claims.models.embedded import DENSE, EMBEDDED, JUDGED
from moe_claims.models.names import ModelRef
from moe_claims.settings import OPTIONS, Option, Settings, default_cache, option_value, settings_from

BY_NAME = {option.name: option for option in OPTIONS}
ids = [option.name for option in OPTIONS]


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose embedded models are all there."""
    monkeypatch.setattr(embedded_models, "files", lambda _: tmp_path)
    for name in EMBEDDED:
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "config.json").touch()
    return tmp_path


def _settle(**values: Any) -> Settings:
    """Of a model that is always there, where a test is about something else."""
    return settings_from({"model": ["mixtral"], **{name.replace("_", "-"): value for name, value in values.items()}})


@pytest.mark.parametrize("option", OPTIONS, ids=ids)
def test_names_of_the_twins(option: Option) -> None:
    plain = option.name.replace("-", "_")
    assert option.variable == f"MOE_CLAIMS_{plain.upper()}"
    assert option.dest == ("moe_models" if option.name == "model" else f"moe_{plain}")
    assert option.help


@pytest.mark.parametrize("option", OPTIONS, ids=ids)
def test_command_line_before_environment_before_ini(option: Option) -> None:
    environment = {option.variable: "from-environment"}
    if option.flag:
        given, ini = True, True
    elif option.repeatable:
        given, ini = ["from-line"], ["from-ini"]
    else:
        given, ini = "from-line", "from-ini"
    wanted = ["from-environment"] if option.repeatable else "from-environment"
    assert option_value(option, given, ini, environment) == given
    assert option_value(option, None, ini, environment) == wanted
    assert option_value(option, None, ini, {}) == ini
    assert option_value(option, None, None, {}) is None


@pytest.mark.parametrize("option", OPTIONS, ids=ids)
def test_empty_is_not_given(option: Option) -> None:
    assert option_value(option, [], "", {option.variable: ""}) is None
    assert option_value(option, "", [], {option.variable: "x y"}) == (["x", "y"] if option.repeatable else "x y")


def test_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOE_CLAIMS_TOKENS", "64")
    assert option_value(BY_NAME["tokens"], None, "32") == "64"
    monkeypatch.delenv("MOE_CLAIMS_TOKENS")
    assert option_value(BY_NAME["tokens"], None, "32") == "32"


def test_defaults(embedded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    settings = settings_from({})
    assert [(ref.name, ref.kind) for ref in settings.models] == [(name, "embedded") for name in JUDGED]
    assert settings == Settings(
        models=settings.models,
        packs=None,
        texts=("builtin",),
        tokens=None,
        device="auto",
        dtype="float32",
        profile="full",
        seed=0,
        alpha=0.05,
        cache=Path("/somewhere/moe_claims"),
        report=Path("claims-report"),
        report_only=False,
        layers=None,
        dense_reference=settings.dense_reference,
        second_model=None,
        download=False,
        experiments=None,
    )
    assert settings.dense_reference is not None
    assert settings.dense_reference.name == DENSE
    assert settings_from(dict.fromkeys(BY_NAME)) == settings
    assert settings.controls


def test_the_dense_reference_of_embedded_models_is_theirs_alone(embedded: Path) -> None:
    assert (
        settings_from({"model": ["tiny-upcycled"]}).dense_reference
        == settings_from({"dense-reference": DENSE}).dense_reference
    )
    assert settings_from({"model": ["tiny-upcycled", "synthetic:null"]}).dense_reference is None
    assert settings_from({"model": ["mixtral"]}).dense_reference is None


def test_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_cache() == Path("/home/someone/.cache/moe_claims")
    monkeypatch.setenv("MOE_CLAIMS_CACHE", "/kept")
    assert default_cache() == Path("/kept")


def test_missing_embedded_model_is_said_and_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_models, "files", lambda _: tmp_path)
    with pytest.raises(UsageError, match=f"^the embedded model '{EMBEDDED[0]}' is missing from this installation: "):
        settings_from({})


def test_every_option_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = settings_from(
        {
            "model": ["olmoe", "synthetic:null?seed=2", "olmoe"],
            "pack": ["one", "other", "one"],
            "text": ["builtin-code", "builtin", "builtin-code"],
            "tokens": "64",
            "device": "cpu",
            "dtype": "float64",
            "profile": "quick",
            "seed": "7",
            "alpha": "0.01",
            "cache": "~/kept",
            "report": "~/said",
            "report-only": True,
            "layers": "31, 0,15,0",
            "dense-reference": "mistral",
            "second-model": "mixtral-8x7b-instruct@main",
            "download": True,
            "experiments": "~",
        }
    )
    assert [ref.name for ref in settings.models] == ["olmoe", "synthetic:null?seed=2"]  # each once, in order
    assert settings == Settings(
        models=settings.models,
        packs=("one", "other"),
        texts=("builtin-code", "builtin"),
        tokens=64,
        device="cpu",
        dtype="float64",
        profile="quick",
        seed=7,
        alpha=0.01,
        cache=tmp_path / "kept",
        report=tmp_path / "said",
        report_only=True,
        layers=(0, 15, 31),
        dense_reference=ModelRef("mistral", "hub", "mistralai/Mistral-7B-v0.1"),
        second_model=ModelRef(
            "mixtral-8x7b-instruct@main", "hub", "mistralai/Mixtral-8x7B-Instruct-v0.1", revision="main"
        ),
        download=True,
        experiments=tmp_path,
    )
    assert not settings.controls


def test_quick_profile_limits_tokens_unless_they_are_given() -> None:
    assert _settle(profile="quick").tokens == 2048
    assert _settle(profile="quick", tokens="4096").tokens == 4096
    assert _settle(profile="full").tokens is None


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (None, False),
        (True, True),
        (False, False),
        *((word, True) for word in ("1", "true", "Yes", "ON")),
        *((word, False) for word in ("0", "false", "No", "off")),
    ],
)
def test_flag_in_the_environment(value: object, meant: bool) -> None:
    assert _settle(report_only=value).report_only is meant


def test_flag_turned_off_in_the_environment_outweighs_the_ini_file() -> None:
    option = BY_NAME["report-only"]
    value = option_value(option, None, True, {option.variable: "0"})
    assert _settle(report_only=value).report_only is False
    assert _settle(report_only=option_value(option, True, None, {option.variable: "0"})).report_only is True


def test_files_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.touch()
    assert _settle(text=[str(path)]).texts == (str(path),)


def test_existing_folders_are_taken(tmp_path: Path) -> None:
    settings = _settle(cache=str(tmp_path), report=str(tmp_path / "new"))
    assert (settings.cache, settings.report) == (tmp_path, tmp_path / "new")


FOLDER = "--model takes a folder with config.json and *.safetensors"
REMEDY = "give the folder that contains the results"
NEAR = " or mixtral or mistral-7b?"
BAD = [
    ("model", ["mixtrall"], "unknown model 'mixtrall': did you mean mixtral or mistral or mixtral-8x7b?"),
    ("model", [""], "'' is not a model name: give an alias, a directory, org/name or synthetic:KIND"),
    *(
        ("tokens", value, f"--moe-tokens {value}: give a whole number of tokens, 4 or more")
        for value in ("3", "-1", "0", "many", "1e3", "2.5", "9" * 20)
    ),
    ("device", "gpu", "--moe-device gpu: give auto, cpu, cuda, cuda:N or mps"),
    ("dtype", "float16", "--moe-dtype float16: give one of float32, float64, bfloat16"),
    ("profile", "fast", "--moe-profile fast: give one of quick, full"),
    *(("seed", value, f"--moe-seed {value}: give a whole number, 0 or more") for value in ("-1", "x", "1.0")),
    *(
        ("alpha", value, f"--moe-alpha {value}: give a rate between 0.000001 and 0.5")
        for value in ("0", "0.6", "-0.1", "five", "nan", "inf")
    ),
    ("report-only", "perhaps", "--moe-report-only perhaps: give true or false"),
    ("download", "later", "--moe-download later: give true or false"),
    *(
        ("layers", value, f"--moe-layers {value}: give layer numbers separated by commas, such as 0,15,31")
        for value in ("first", "0;3", "-1", "1,,2", "0-3", "1.5", ",")
    ),
    ("dense-reference", "./no", "--moe-dense-reference: there is no directory './no': " + FOLDER),
    ("dense-reference", "mistrl", "--moe-dense-reference: unknown model 'mistrl': did you mean mistral" + NEAR),
    ("second-model", "./no", "--moe-second-model: there is no directory './no': " + FOLDER),
    *(
        ("experiments", value, f"--moe-experiments {value}: there is no such folder; {REMEDY}")
        for value in ("./no", __file__, "~nobody-of-that-name/x", "x" * 5_000)
    ),
    ("plan", "soon", "--moe-plan soon: give true or false"),
    ("plan-file", "/", "--moe-plan-file /: this is a folder; give a file in it"),
    ("cluster", "host:1", "--moe-cluster host:1: no claim of this version uses it; leave it out"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_bad_values_have_one_line_with_value_and_remedy(name: str, value: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from({"model": ["mixtral"], name: value})
    assert str(caught.value) == message
    assert "\n" not in message


def test_unknown_text_is_said_before_anything_is_opened() -> None:
    with pytest.raises(UsageError, match=r"^unknown text 'bultin': "):
        _settle(text=["bultin"])


@pytest.mark.parametrize("name", ["cache", "report"])
def test_file_in_place_of_a_folder(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UsageError) as caught:
        _settle(**{name: str(path)})
    expected = f"--moe-{name} {path}: this is a file; give a folder, which is made where there is none"
    assert str(caught.value) == expected


def test_every_option_has_a_bad_value() -> None:
    assert {name for name, *_ in BAD} | {"pack", "text", "cache", "report"} == set(BY_NAME)
