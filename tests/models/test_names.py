"""What a name after ``--model`` stands for, and what is said where it stands for nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from moe_claims._util.optional import repair
from moe_claims.errors import UsageError
from moe_claims.models import embedded
from moe_claims.models.embedded import EMBEDDED
from moe_claims.models.names import ALIASES, SYNTHETIC, ModelRef, resolve


def _message(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_are_hub_ids(alias: str) -> None:
    assert resolve(alias) == ModelRef(alias, "hub", ALIASES[alias])
    assert resolve(alias.upper()).target == ALIASES[alias]
    assert resolve(f"{alias}@abc") == ModelRef(f"{alias}@abc", "hub", ALIASES[alias], "abc")
    assert ALIASES[alias].count("/") == 1


def test_hub_ids_and_their_revisions() -> None:
    assert resolve("org/name") == ModelRef("org/name", "hub", "org/name")
    name = "allenai/OLMoE-1B-7B-0924@step10000-tokens41B"
    assert resolve(name) == ModelRef(name, "hub", "allenai/OLMoE-1B-7B-0924", "step10000-tokens41B")


def test_prefix_asks_the_hub_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("hub:org/name") == ModelRef("hub:org/name", "hub", "org/name")
    assert resolve("hub:org/name@refs/pr/1") == ModelRef("hub:org/name@refs/pr/1", "hub", "org/name", "refs/pr/1")


@pytest.mark.parametrize("name", ["hub:", "hub:mixtral", "hub:a/b/c", "hub:/name", "hub:org/", "hub:@main"])
def test_prefix_without_a_repository(name: str) -> None:
    expected = f"'{name}' does not name a repository on the hub: give hub:org/name or hub:org/name@revision"
    assert _message(name) == expected


def test_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(str(tmp_path)) == ModelRef(str(tmp_path), "directory", str(tmp_path))
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("org/name").kind == "directory"  # as transformers reads it: what lies here comes first
    assert resolve("./org").kind == "directory"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/org").target == str(tmp_path / "org")


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "~/nowhere-at-all", "~no-such-user-here/model", "../no"])
def test_missing_directory(name: str) -> None:
    expected = f"there is no directory '{name}': --model takes a folder with config.json and *.safetensors"
    assert _message(name) == expected


def test_unknown_alias_with_a_near_one() -> None:
    assert _message("mixtrall") == "unknown model 'mixtrall': did you mean mixtral or mistral or mixtral-8x7b?"


def test_unknown_alias_with_none_near() -> None:
    assert _message("zzz") == (
        f"unknown model 'zzz': 'python -m moe_claims models' lists the {len(ALIASES) + len(EMBEDDED) + len(SYNTHETIC)} "
        "known names; or give a directory, or org/name"
    )


@pytest.mark.parametrize("name", ["a/b/c", "/".join("ab") + "/", "x" * 5000, "half/"])
def test_what_is_no_name_of_anything(name: str) -> None:
    assert _message(name).startswith(f"unknown model '{name}': ")


@pytest.mark.parametrize("name", ["", " ", " mixtral", "mixtral "])
def test_blank_names(name: str) -> None:
    expected = f"'{name}' is not a model name: give an alias, a directory, org/name or synthetic:KIND"
    assert _message(name) == expected


def test_embedded_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "files", lambda _: tmp_path)
    for name in EMBEDDED:
        assert _message(name) == (
            f"the embedded model '{name}' is missing from this installation: {repair()}, or make it "
            f"with 'python -m moe_claims.zoo train {name} --text FILE'"
        )
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
        assert resolve(name) == ModelRef(name, "embedded", str(folder))


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_synthetic_models_and_their_options(kind: str) -> None:
    plain = f"synthetic:{kind}"
    assert resolve(plain) == ModelRef(plain, "synthetic", kind, None, {})
    name = f"{plain}?seed=3&layers=8&pattern=equal&rate=0.5&blank="
    options = {"seed": 3, "layers": 8, "pattern": "equal", "rate": 0.5, "blank": ""}
    assert resolve(name) == ModelRef(name, "synthetic", kind, None, options)


def test_words_of_json_are_words() -> None:
    assert resolve("synthetic:dense?of=null&seed=1").options == {"of": "null", "seed": 1}
    assert resolve("synthetic:null?seed=true&rate=NaNs").options == {"seed": "true", "rate": "NaNs"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synthetic:plantd", "unknown synthetic model 'synthetic:plantd': did you mean synthetic:planted?"),
        ("synthetic:", "unknown synthetic model 'synthetic:': known are planted, null, random-init, dense"),
        ("synthetic:qq?s=1", "unknown synthetic model 'synthetic:qq?s=1': known are planted, null, random-init, dense"),
        ("synthetic:null?seed=[1]", "'seed=[1]' in 'synthetic:null?seed=[1]' is neither a number nor a word"),
        ("synthetic:null?seed={}", "'seed={}' in 'synthetic:null?seed={}' is neither a number nor a word"),
    ],
)
def test_synthetic_names_that_cannot_be_read(name: str, message: str) -> None:
    assert _message(name) == message


def test_resolving_loads_nothing_heavy() -> None:
    code = (
        "import sys; from moe_claims.models.names import resolve; resolve('mixtral'), resolve('synthetic:null')\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'scipy', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_named_like_an_alias_never_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mixtral", "tiny-scratch", "org"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("mixtral").kind == "hub"
    assert resolve("tiny-scratch").kind == "embedded"
    assert resolve("./mixtral").kind == resolve("./tiny-scratch").kind == resolve("org").kind == "directory"


def test_every_model_of_the_paper_has_its_alias() -> None:
    from moe_claims.packs.look_into_moes.paper import published

    models = published()["models"]
    assert {name: facts["hub"] for name, facts in models.items()}.items() <= ALIASES.items()
