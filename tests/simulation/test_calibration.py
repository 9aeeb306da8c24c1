"""Calibration: a fast version of what docs/calibration.md shows, and its verdict on rates."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.simulation import calibration, trials
from moe_claims.simulation.calibration import KINDS, Kind, Rate, acceptable, rates
from moe_claims.simulation.trials import Row

Rows = Callable[..., list[Row]]
SEEDS = (1_000, 1_001)
"""Other seeds than those of the calibration in the docs."""
PLANTED = next(kind for kind in KINDS if kind.title == "planted")
NULL = next(kind for kind in KINDS if kind.title.startswith("null: router apart"))
EQUAL = next(kind for kind in KINDS if kind.title == "null: all three matrices alike")
FRESH = next(kind for kind in KINDS if kind.truth is None)


seeds = pytest.mark.parametrize("seed", [SEEDS[0], pytest.param(SEEDS[1], marks=pytest.mark.campaign("long"))])


@pytest.fixture(scope="module")
def rows_of(made_once: Callable[..., Path]) -> Rows:
    """(kind, seed) → the row of one model, measured once, whichever worker asks first."""

    def rows(kind: Kind, seed: int = SEEDS[0]) -> list[Row]:
        def make(folder: Path) -> None:
            (folder / "rows.json").write_text(json.dumps([trials.trial(kind.setup, seed)]))

        folder = made_once(f"calibration-{KINDS.index(kind)}-{seed}", make)
        made: list[Row] = json.loads((folder / "rows.json").read_text())
        return made

    return rows


def _verdicts(kind: Kind, rows: list[Row]) -> list[str]:
    keys = [key for claim in kind.claims for key in LIVE[claim].row_keys()]
    return [row["claims"][key]["verdict"] for row in rows for key in keys]


def test_every_claim_has_a_planted_model_a_null_and_a_random_initialisation() -> None:
    for truth in (True, False, None):
        assert {claim for kind in KINDS if kind.truth is truth for claim in kind.claims} == set(LIVE)


def test_setups_are_told_apart() -> None:
    assert len({kind.setup.name for kind in KINDS}) == len({kind.title for kind in KINDS}) == len(KINDS)


@seeds
def test_planted_models_replicate_their_claims(seed: int, rows_of: Rows) -> None:
    verdicts = [verdict for kind in KINDS if kind.truth for verdict in _verdicts(kind, rows_of(kind, seed))]
    # 95 % at least, seed by seed and claim by claim.
    assert verdicts.count("replicated") >= 0.95 * len(verdicts)


@seeds
def test_null_models_replicate_next_to_nothing(seed: int, rows_of: Rows) -> None:
    verdicts = [verdict for kind in KINDS if kind.truth is False for verdict in _verdicts(kind, rows_of(kind, seed))]
    assert verdicts.count("replicated") <= 0.05 * len(verdicts)


@seeds
def test_equal_association_fools_the_regression_but_not_the_verdict(seed: int, rows_of: Rows) -> None:
    found = [row["claims"]["neuron-experts"] for row in rows_of(EQUAL, seed)]
    assert all(claim["p_value"] <= 0.05 for claim in found)
    assert all(claim["verdict"] != "replicated" for claim in found)


def _made_up(kind: Kind) -> list[Row]:
    found = {"verdict": "replicated", "effect": 0.5, "p_value": 0.001, "p_adjusted": 0.01}
    return [{"claims": {key: found for claim in LIVE.values() for key in claim.row_keys()}}]


@pytest.mark.parametrize("measured", [False, pytest.param(True, marks=pytest.mark.campaign("long"))])
def test_the_summary_covers_every_claim_of_every_kind(measured: bool, rows_of: Rows) -> None:
    text = calibration.summary({kind.setup.name: (rows_of if measured else _made_up)(kind) for kind in KINDS}, 1)
    for claim in LIVE.values():
        kinds = sum(claim.id in kind.claims for kind in KINDS)
        for key in claim.row_keys():
            assert text.count(f"| {key} |") == kinds >= 3
    assert "calibrate --seeds 1" in text
    assert all(kind.title[1:] in text for kind in KINDS)


def test_rates_count_p_values_where_the_claim_applies() -> None:
    made = [("replicated", 0.01), ("absent", 0.6), ("not-applicable", None), ("inconclusive", 0.04)]
    found = rates([{"claims": {"x": {"verdict": v, "p_value": p}}} for v, p in made], "x")
    assert (found.replicated, found.small, found.applicable) == (Rate(1, 4), Rate(2, 3), Rate(3, 4))


@pytest.mark.parametrize(
    ("kind", "hits", "fine"),
    [(PLANTED, 190, True), (PLANTED, 189, False), (NULL, 10, True), (NULL, 11, False), (FRESH, 200, True)],
)
def test_the_bar_is_95_percent_on_planted_and_5_percent_on_null(kind: Kind, hits: int, fine: bool) -> None:
    assert acceptable(kind, Rate(hits, 200)) is fine


def test_a_claim_replicated_at_random_initialisation_is_marked_as_an_artefact() -> None:
    claim = FRESH.claims[0]
    verdicts = ["replicated"] * 3 + ["absent"] * 17
    rows = [
        {
            "claims": {
                key: {"verdict": verdict if name == claim else "absent", "p_value": 0.5}
                for name in FRESH.claims
                for key in LIVE[name].row_keys()
            }
        }
        for verdict in verdicts
    ]
    text = calibration.summary({kind.setup.name: rows if kind is FRESH else [] for kind in KINDS if kind is FRESH} | {
        kind.setup.name: _blank() for kind in KINDS if kind is not FRESH
    }, 20)  # fmt: skip
    assert text.count("**artefact**") == len(LIVE[claim].row_keys())


def _blank() -> list[Row]:
    keys = [key for claim in LIVE.values() for key in claim.row_keys()]
    return [{"claims": {key: {"verdict": "absent", "p_value": 0.5} for key in keys}}]
