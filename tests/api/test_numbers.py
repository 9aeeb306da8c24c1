"""``measurements`` are the arrays that ``measure`` writes; ``figure`` is a figure of the catalogue."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe_claims
from moe_claims.commands.main import main
from moe_claims.errors import MoeClaimsError, UsageError

SIZES = "layers=3&experts=4&hidden=16&intermediate=8&context=24"
MODEL, DENSE = f"synthetic:planted?{SIZES}", f"synthetic:dense?{SIZES}"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where measurements are kept: not among those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "moe_claims"


def _written(arguments: list[str], tmp_path: Path) -> dict[str, np.ndarray]:
    assert main(["measure", MODEL, *arguments, "--output", str(tmp_path / "m.npz")]) == 0
    with np.load(tmp_path / "m.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def _same(found: dict[str, Any], written: dict[str, np.ndarray]) -> None:
    assert list(found) == list(written)
    for name, array in found.items():
        np.testing.assert_array_equal(array, written[name], err_msg=name)
        assert array.dtype == written[name].dtype


def test_measurements_are_what_the_command_writes(tmp_path: Path) -> None:
    arguments = ["--text", "builtin-math", "--tokens", "200", "--dtype", "float64", "--dense-reference", DENSE]
    arguments += ["--what", "weights,matching,outputs,token-outputs"]
    found = moe_claims.measurements(
        MODEL, text="builtin-math", tokens=200, dtype="float64", dense_reference=DENSE, progress=False,
        what=["weights", "matching", "outputs", "token-outputs"],
    )  # fmt: skip
    _same(found, _written(arguments, tmp_path))
    assert found["similarity.matrix.up"].shape == (3, 5, 5)


def test_token_ids_may_be_a_list_an_array_or_a_file(tmp_path: Path) -> None:
    ids = [[0, 5, 6, 7], [0, 8, 9, 3]]
    file = tmp_path / "ids.json"
    file.write_text(json.dumps(ids))
    written = _written(["--token-ids", str(file), "--what", "outputs"], tmp_path)
    for given in (ids, np.asarray(ids), file, str(file)):
        _same(moe_claims.measurements(MODEL, token_ids=given, what="outputs"), written)


def test_measurements_are_kept_where_it_is_said(tmp_path: Path) -> None:
    moe_claims.measurements(MODEL, what="weights", cache=tmp_path / "kept")
    assert list((tmp_path / "kept").rglob("*.npz"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "everything"}, r"^what everything: give some of weights"),
        ({"tokens": 2}, r"^tokens 2: give a whole number"),
        ({"text": "builtin", "token_ids": [[1, 2]]}, r"^text and token_ids both say"),
        ({"token_ids": [[1, 2], [3]]}, "must be a list of lists of at least two token ids"),
        ({"token_ids": [[1, 4000]]}, "the list of token ids holds token id 4000"),
        ({"dense_reference": DENSE, "shared_experts": True}, r"^dense_reference and shared_experts both come last"),
        ({"device": "abacus"}, r"^device abacus: give auto"),
    ],
)
def test_bad_input_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        moe_claims.measurements(MODEL, **options)


# --- figures -------------------------------------------------------------------------------------


def test_a_figure_is_one_of_matplotlib(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    found = moe_claims.figure(MODEL, "outputs-averaged", tokens=200, layers=[0, 2], progress=False)
    assert isinstance(found, Figure)
    titles = " ".join(axes.get_title() for axes in found.axes)
    assert "layer 0" in titles.lower()
    assert "layer 1" not in titles.lower()
    found.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^there is no figure 'rank-count': did you mean 'rank-counts'\?$"):
        moe_claims.figure(MODEL, "rank-count")
    with pytest.raises(UsageError, match=r"^there is no figure 'x': give one of matrix-similarity, "):
        moe_claims.figure(MODEL, "x")
    with pytest.raises(UsageError, match=r"^layers 7: .* has no such MoE layer"):
        moe_claims.figure(MODEL, "rank-counts", layers=7, tokens=200)
    with pytest.raises(MoeClaimsError, match="has not the shape of the experts of"):
        moe_claims.figure(MODEL, "rank-counts", tokens=200, dense_reference=DENSE + "&hidden=32")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match="figures need matplotlib, which is not installed: pip install"):
        moe_claims.figure(MODEL, "rank-counts")
