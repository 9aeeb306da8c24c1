"""One dense layer: our trainings, and the paper's table beside them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_claims.errors import NotComparableError
from moe_claims.figures import dense_position
from moe_claims.figures.data import Subject
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.packs.look_into_moes.trained.dense_layer_position import excess
from moe_claims.packs.look_into_moes.trained.results import load


def _document(seeds: int) -> dict[str, Any]:
    """Made-up losses of both kinds of dense layers."""
    rng = np.random.default_rng(0)
    runs = [
        {
            "seed": seed,
            "position": place,
            "matched": matched,
            "dense_width": 5,
            "parameters": 9,
            "held_out_nats": rng.random(),
        }
        for seed in range(seeds)
        for place, matched in [(None, None), *((p, m) for p in (0, 2, 3) for m in ("total", "activated"))]
    ]
    return {**load("dense-layer-position"), "layers": 4, "runs": runs}


def test_losses_over_the_all_moe_model_and_the_printed_table(
    subject: Callable[[str], Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = _document(3)
    monkeypatch.setattr(dense_position, "load", lambda _: document)
    drawing = dense_position.dense_position(subject("few"))
    ours, bench, perplexity = drawing.figure.axes
    for matched in ("total", "activated"):
        found = excess(document, matched)
        (mean,) = [line for line in ours.lines if line.get_label() == f"as many {matched} parameters"]
        np.testing.assert_array_equal(mean.get_xdata(), [0, 2, 3])
        np.testing.assert_allclose(mean.get_ydata(), found.nats.mean(axis=0))
        seeds = [
            line.get_ydata()
            for line in ours.lines
            if line.get_linewidth() == 0.6 and line.get_color() == mean.get_color()
        ]
        np.testing.assert_allclose(seeds, found.nats)
    rows = published()["table6_non_moe_layer"]["rows"]
    for axis, column in ((bench, 1), (perplexity, 0)):
        np.testing.assert_array_equal(
            axis.lines[0].get_ydata(), [rows[place][column] for place in ("1", "6", "12", "18", "24")]
        )
        (whole,) = [line for line in axis.lines if line.get_label() == "all-MoE"]
        assert set(whole.get_ydata()) == {rows["none"][column]}
    assert drawing.notes[0].startswith("Left: 3 seeds of small models (4 layers, top 2 of 16 experts, ")


def test_the_trainings_of_the_package_are_drawn(subject: Callable[[str], Subject]) -> None:
    ours = dense_position.dense_position(subject("many")).figure.axes[0]
    assert len(ours.lines) > 2


def test_an_experiment_without_dense_layers_is_not_drawn(
    subject: Callable[[str], Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = _document(2)
    document["runs"] = [run for run in document["runs"] if run["position"] is None]
    monkeypatch.setattr(dense_position, "load", lambda _: document)
    with pytest.raises(NotComparableError, match="no model of the experiment has a dense layer"):
        dense_position.dense_position(subject("few"))
