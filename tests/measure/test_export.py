"""A dense reference in what ``measure`` writes: last on the expert axes, and nothing else moves."""

from pathlib import Path

import numpy as np
import pytest

from moe_claims.commands.main import main
from moe_claims.errors import UsageError
from moe_claims.measure.dense import measure_dense
from moe_claims.measure.export import dump
from moe_claims.models.dense import open_dense
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve

SIZES = "layers=3&experts=5&hidden=16&intermediate=16&context=24"
MODEL, DENSE = f"synthetic:planted?{SIZES}", f"synthetic:dense?{SIZES}"
ALIKE = (*(f"similarity.{level}.{role}" for level in ("matrix", "mean") for role in ("up", "act", "down")),)
ANSWERS = ("output_similarity.angular_mean", "output_similarity.cosine")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What is written of a model without, and with a dense reference."""
    found = []
    for more in ([], ["--dense-reference", DENSE]):
        output = tmp_path_factory.mktemp("dump") / "m.npz"
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
    with pytest.raises(UsageError, match=r"^--dense-reference and --shared-experts ask for the same place: give one"):
        dump(
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
