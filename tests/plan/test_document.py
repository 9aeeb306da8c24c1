"""A plan's file: what it holds comes back, a run that is as planned passes, and each deviation is one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.plan.document import Written, check, read, seal, text_of
from moe_claims.plan.planning import plan_of
from moe_claims.settings import Settings

PLANTED = "synthetic:planted?layers=7&experts=5&hidden=16&intermediate=16&context=24"
OTHER = PLANTED + "&noise=0.1"


@pytest.fixture
def written(settings_of: Callable[..., Settings], tmp_path: Path) -> Path:
    """A plan in a file."""
    settings = settings_of(profile="quick", text=[str(prose(tmp_path))])
    path = tmp_path / "plan.json"
    path.write_text(text_of(plan_of(settings, [PACK]), [PACK]), encoding="utf-8")
    return path


def prose(folder: Path, more: str = "") -> Path:
    path = folder / "mine.txt"
    path.write_text("\n\n".join(f"Passage {i} tells of {i} ships and one sea. {more}" for i in range(8)))
    return path


def test_what_is_written_comes_back(written: Path, settings_of: Callable[..., Settings], tmp_path: Path) -> None:
    found = read(written)
    assert isinstance(found, Written)
    content = found.content
    assert content["created"].endswith("+00:00")
    assert content["options"]["seed"] == 0
    record = content["claims"]["look_into_moes/router-norm[total]"]
    claim = LIVE["router-norm"].of("total")
    assert (record["version"], record["smallest_effect"], record["null"]) == (claim.version, claim.smallest, claim.null)
    assert len(content["claims"]) == sum(len(claim.variants) for _, claim in PACK.records())
    assert content["models"][PLANTED]["hashed"] == "weights"
    (text,) = content["texts"].values()
    assert len(text["text_sha256"]) == 64
    assert text["tokens"] <= 200
    assert content["versions"].keys() >= {"moe_claims", "torch", "transformers"}
    (model,) = content["foreseen"]["models"].values()
    assert {stage["name"] for stage in model["stages"]} >= {"weights", "neurons matched", "statistics"}
    bound = settings_of(profile="quick", text=[str(tmp_path / "mine.txt")], plan_file=str(written))
    assert check(bound, [PACK]) == []
    assert seal(bound) == {"plan_sha256": found.sha256, "plan_created": content["created"]}
    assert seal(replace(bound, plan=True)) == seal(replace(bound, plan_file=None)) == {}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"seed": 1}, "option --moe-seed: 1, planned 0"),
        ({"alpha": 0.1}, "option --moe-alpha: 0.1, planned 0.05"),
        ({"dtype": "bfloat16"}, "option --moe-dtype: bfloat16, planned float32"),
        ({"profile": "full"}, "option --moe-profile: full, planned quick"),
        ({"layers": "0,2"}, "option --moe-layers: 0, 2, planned not given"),
        ({"dense_reference": PLANTED.replace("planted", "dense")}, "option --moe-dense-reference: synthetic:dense"),
        ({"second_model": OTHER}, "option --moe-second-model: synthetic:planted?"),
    ],
)
def test_a_deviation_is_one_line(
    changed: dict[str, Any], line: str, written: Path, settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    options = {"profile": "quick", "text": [str(tmp_path / "mine.txt")], "plan_file": str(written), **changed}
    found = check(settings_of(**options), [PACK])
    assert [one for one in found if one.startswith("option")] == [one for one in found if one.startswith(line)]
    assert any(one.startswith(line) for one in found)


def test_another_text_under_the_same_name(written: Path, settings_of: Callable[..., Settings], tmp_path: Path) -> None:
    prose(tmp_path, more="And a whale.")
    (line,) = check(settings_of(profile="quick", text=[str(tmp_path / "mine.txt")], plan_file=str(written)), [PACK])
    assert line.startswith(f"text '{tmp_path / 'mine.txt'} as {PLANTED} reads it': text_sha256 is ")


def test_fewer_tokens(written: Path, settings_of: Callable[..., Settings], tmp_path: Path) -> None:
    text = [str(tmp_path / "mine.txt")]
    lines = check(settings_of(profile="quick", text=text, tokens=20, plan_file=str(written)), [PACK])
    assert lines[0] == "option --moe-tokens: 20, planned 200"
    assert "token_ids_sha256" in lines[1] and "tokens is 20" in lines[1]


def test_another_model(written: Path, settings_of: Callable[..., Settings], tmp_path: Path) -> None:
    text = [str(tmp_path / "mine.txt")]
    lines = check(settings_of(OTHER, profile="quick", text=text, plan_file=str(written)), [PACK])
    assert lines[0].startswith("option --moe-model: ")
    assert f"model '{PLANTED}': it is in the plan, and not in this run" in lines
    assert f"model '{OTHER}': it is in this run, and not in the plan" in lines


def test_other_weights_under_the_same_name(
    settings_of: Callable[..., Settings], tmp_path: Path, as_folder: Callable[[str, Path], None]
) -> None:
    folder, plan = tmp_path / "model", tmp_path / "plan.json"
    as_folder("tiny-fine", folder)
    settings = settings_of(str(folder), profile="quick", layers="1", plan_file=str(plan))
    plan.write_text(text_of(plan_of(settings, [PACK]), [PACK]))
    assert check(settings, [PACK]) == []
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    (line,) = check(settings, [PACK])
    assert line.startswith(f"model '{folder}': sha256 is ")


def test_a_claim_that_was_changed_meanwhile(
    written: Path, settings_of: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_of(profile="quick", text=[str(tmp_path / "mine.txt")], plan_file=str(written))
    claims = tuple(
        replace(claim, version=9, smallest=-0.5) if claim.id == "neuron-experts" else claim
        for claim in PACK.claims
        if claim.id != "neuron-experts-sign"
    )
    assert check(settings, [replace(PACK, claims=claims)]) == [
        "claim 'look_into_moes/neuron-experts': version is 9, planned 1; smallest_effect is -0.5, planned 0.1; "
        "absent_within is 0.5, planned 0.1",
        "claim 'look_into_moes/neuron-experts-sign': it is in the plan, and not in this run",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{", "is not JSON"),
        ('{"format": "moe-claims-plan", "format": 1}', "is not JSON (the key 'format' stands in it twice)"),
        ("[]", "is no plan"),
        ('{"format": "moe-claims-plan", "created": "x", "options": []}', "is no plan"),
    ],
)
def test_what_is_no_plan_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value).startswith(f"--moe-plan-file {path}: {message}")


def test_a_plan_of_another_version_is_refused(written: Path) -> None:
    content = json.loads(written.read_text())
    written.write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(UsageError, match="is a plan of version 99, and this release reads version 1"):
        read(written)
