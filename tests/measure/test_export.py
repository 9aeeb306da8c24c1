"""What ``measure`` writes: a dense reference last on the expert axes, and nothing measured twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from moe_claims.commands.main import main
from moe_claims.errors import UsageError
from moe_claims.measure.dense import measure_dense
from moe_claims.measure.export import export
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Store
from moe_claims.models.dense import open_dense
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.settings import settings_from

SIZES = "layers=3&experts=5&hidden=16&intermediate=16&context=24"
MODEL, DENSE = f"synthetic:planted?{SIZES}", f"synthetic:dense?{SIZES}"
ALIKE = (*(f"similarity.{level}.{role}" for level in ("matrix", "mean") for role in ("up", "act", "down")),)
ANSWERS = ("output_similarity.angular_mean", "output_similarity.cosine")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where measurements are kept: not among those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "moe_claims"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What is written of a model without, and with a dense reference."""
    found = []
    for more in ([], ["--dense-reference", DENSE]):
        output = tmp_path_factory.mktemp("export") / "m.npz"
        what = ["--what", "weights,outputs,token-outputs", "--tokens", "200"]
        assert main(["measure", MODEL, *what, *more, "--output", str(output)]) == 0
        with np.load(output) as arrays:
            found.append({name: arrays[name] for name in arrays.files})
    return found[0], found[1]


def test_dense_reference_is_the_last_expert(written: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]) -> None:
    without, with_it = written
    assert set(without) == set(with_it)
    for name in (*ALIKE, *ANSWERS):
        assert with_it[name].shape[-2:] == (6, 6)
        np.testing.assert_array_equal(with_it[name][..., :5, :5], without[name], err_msg=name)
        np.testing.assert_array_equal(with_it[name][..., 5, :5], with_it[name][..., :5, 5], err_msg=name)
        np.testing.assert_allclose(with_it[name][..., 5, 5], 1, err_msg=name)
    for name in set(without) - {*ALIKE, *ANSWERS}:
        np.testing.assert_array_equal(with_it[name], without[name], err_msg=name)


def test_its_similarities_are_those_that_were_measured(
    written: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
) -> None:
    _, arrays = written
    found = measure_dense(open_model(resolve(MODEL)).checkpoint, open_dense(resolve(DENSE)))
    np.testing.assert_array_equal(arrays["similarity.matrix.down"][:, 5, :5], found.matrix["down"])
    np.testing.assert_array_equal(arrays["similarity.mean.act"][:, 5, :5], found.mean["act"])
    cosine = arrays["output_similarity.cosine"][..., 5, :5].astype(float)
    angular = (1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi).mean(axis=1)
    np.testing.assert_allclose(arrays["output_similarity.angular_mean"][:, 5, :5], angular, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (DENSE.replace("intermediate=16", "intermediate=12"), "has not the shape of the experts of"),
        (MODEL, "is a mixture of experts"),
        ("mitsral", "unknown model 'mitsral': did you mean"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_writes_nothing(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["measure", MODEL, "--dense-reference", name, "--output", str(tmp_path / "m.npz")]
    assert main(arguments) == 4
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_dense_reference_and_shared_experts_ask_for_one_place(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^--dense-reference and --shared-experts both come last on the expert axes: give one"
    ):
        export(
            MODEL,
            text=None,
            token_ids=None,
            what=("weights",),
            tokens=None,
            device="cpu",
            dtype="float32",
            output=tmp_path / "m.npz",
            dense_reference=DENSE,
            shared_experts=True,
        )
    assert not list(tmp_path.iterdir())


def test_shared_experts_of_a_model_without_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", MODEL, "--shared-experts", "--output", str(tmp_path / "m.npz")]) == 4
    assert "has model_type 'mixtral', whose shared experts, if any, cannot be compared yet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- nothing is measured twice -------------------------------------------------------------------


def _arrays(output: Path) -> dict[str, np.ndarray]:
    with np.load(output) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _kept(cache: Path) -> set[str]:
    return {path.name for path in cache.glob("*.npz")}


def test_a_second_time_nothing_is_measured(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = MODEL + "&seed=5"
    command = ["measure", model, "--tokens", "200", "--dense-reference", DENSE]
    assert main([*command, "--output", str(tmp_path / "one.npz")]) == 0
    first, kept = capsys.readouterr().out, _kept(cache)
    for module, name in (("weights", "_gram"), ("matching", "match"), ("routed", "LayerAccumulator")):
        monkeypatch.setattr(
            f"moe_claims.measure.{module}.{name}", lambda *_, **__: pytest.fail("it was measured again")
        )
    assert main([*command, "--output", str(tmp_path / "two.npz")]) == 0
    assert capsys.readouterr().out == first.replace("one.npz", "two.npz")
    assert _kept(cache) == kept
    one, two = _arrays(tmp_path / "one.npz"), _arrays(tmp_path / "two.npz")
    assert list(one) == list(two)
    for name, array in one.items():
        assert array.dtype == two[name].dtype
        np.testing.assert_array_equal(array, two[name])


def test_what_was_measured_for_the_claims_is_not_measured_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODEL + "&seed=6"
    settings = settings_from({"model": [model], "tokens": "200", "device": "cpu"})
    measured, _ = Measurer(settings, Store(settings.cache)).measure(open_model(resolve(model)))
    measured["builtin"].made()
    kept = _kept(cache)
    monkeypatch.setattr(LayerwiseModel, "__init__", lambda *_, **__: pytest.fail("the model was run again"))
    assert main(["measure", model, "--tokens", "200", "--output", str(tmp_path / "m.npz"), "--device", "cpu"]) == 0
    assert _kept(cache) == kept
    np.testing.assert_array_equal(_arrays(tmp_path / "m.npz")["chosen"], measured["builtin"].routed.chosen)


def test_token_ids_are_kept_under_their_hash(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, output = tmp_path / "ids.json", tmp_path / "m.npz"
    command = ["measure", MODEL, "--what", "outputs", "--output", str(output), "--token-ids"]
    ids.write_text(json.dumps([[0, 5, 6, 7], [0, 8, 9]]))
    assert main([*command, str(ids)]) == 0
    first, kept = _arrays(output), _kept(cache)
    ids.write_text(json.dumps([[0, 5, 6, 7], [0, 8, 10]]))  # other ids in a file of the same name
    assert main([*command, str(ids)]) == 0
    assert len(_kept(cache) - kept) == 3 + 1  # each layer, and what is said of the text as a whole
    assert not np.array_equal(_arrays(output)["router_logits"], first["router_logits"])
    other = ids.rename(tmp_path / "others.json")
    monkeypatch.setattr(LayerwiseModel, "__init__", lambda *_, **__: pytest.fail("the model was run again"))
    assert main([*command, str(other)]) == 0


DRIVER = """
import os, signal, sys
from pathlib import Path

import moe_claims.measure.weights as weights
import moe_claims.models.forward.layer_weights as layer_weights
from moe_claims.commands.main import main

log, when, *command = sys.argv[1:]
log = open(log, "a", buffering=1)

def noted(owner, name, what):
    inner = getattr(owner, name)
    def outer(*args, **kwargs):
        print(what, file=log)
        return inner(*args, **kwargs)
    setattr(owner, name, outer)

noted(weights, "_gram", "matrix")  # once per matrix that is small
noted(layer_weights.LayerLoader, "fill", "layer")

replace, count = Path.replace, 0

def counted(self, target):
    global count
    done = replace(self, target)
    count += 1
    if count == int(when):
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Path.replace = counted
sys.exit(main(command))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.campaign("long")
def test_a_killed_one_goes_on(tmp_path: Path) -> None:
    def run(cache: str, when: int) -> tuple[int, list[str]]:
        log = tmp_path / f"{cache}-{when}.log"
        command = ["measure", MODEL, "--what", "weights,outputs", "--tokens", "200"]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(log), str(when), *command, "--output", str(tmp_path / f"{cache}.npz")],
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / cache)},
            capture_output=True,
            check=False,
        )
        return done.returncode, log.read_text().split()

    status, whole = run("undisturbed", 0)
    assert (status, sorted(whole)) == (0, ["layer"] * 3 + ["matrix"] * 9)
    status, before = run(
        "killed", 2 * 3 + 2 * 3
    )  # files: three layers of weights, a layer of the text, and where it is
    assert status == -signal.SIGKILL
    assert before.count("matrix") == 9
    assert not (tmp_path / "killed.npz").exists()
    status, after = run("killed", 0)
    assert status == 0
    assert "matrix" not in after
    assert 3 <= (before + after).count("layer") <= 4  # one layer again at most
    assert before.count("layer") >= 1
    one, two = _arrays(tmp_path / "undisturbed.npz"), _arrays(tmp_path / "killed.npz")
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def test_a_cache_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(["measure", MODEL, "--output", str(tmp_path / "m.npz")]) == 4
    said = capsys.readouterr().err
    assert f"the cache folder '{tmp_path / 'file' / 'moe_claims'}' cannot be made" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "m.npz").exists()
