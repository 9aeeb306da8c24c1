"""Calibration: a fast version of what docs/calibration.md shows, its log, and its verdict on rates."""

import json
from pathlib import Path

import pytest

from moe_claims import calibrate
from moe_claims.analysis.registry import LIVE
from moe_claims.calibrate import KINDS, Rate, acceptable
from moe_claims.errors import UsageError

PLANTED, NULL, EQUAL, RANDOM = KINDS
SEEDS = range(1_000, 1_004)
"""Other seeds than those of the calibration in the docs."""


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict]]:
    return {kind.name: [calibrate.trial(number, seed) for seed in SEEDS] for number, kind in enumerate(KINDS)}


def test_planted_models_replicate_every_claim(rows: dict[str, list[dict]]) -> None:
    verdicts = [claim["verdict"] for row in rows[PLANTED.name] for claim in row["claims"].values()]
    assert len(verdicts) == len(SEEDS) * 13
    # 95 % at least, seed by seed and claim by claim.
    assert verdicts.count("replicated") >= 0.95 * len(verdicts)


def test_null_models_replicate_next_to_nothing(rows: dict[str, list[dict]]) -> None:
    for kind in (NULL, EQUAL):
        verdicts = [claim["verdict"] for row in rows[kind.name] for claim in row["claims"].values()]
        assert verdicts.count("replicated") <= 0.05 * len(verdicts)


def test_equal_association_fools_the_regression_but_not_the_verdict(rows: dict[str, list[dict]]) -> None:
    found = [row["claims"]["neuron-experts"] for row in rows[EQUAL.name]]
    assert all(claim["p_value"] <= 0.05 for claim in found)
    assert all(claim["verdict"] != "replicated" for claim in found)


def test_the_summary_covers_every_claim_of_every_kind(rows: dict[str, list[dict]]) -> None:
    text = calibrate.summary([row for kind in rows.values() for row in kind], len(SEEDS))
    for claim in LIVE.values():
        for key in claim.row_keys():
            assert text.count(f"| {key} |") == (4 if claim.id == "neuron-experts" else 3)
    assert "**NO**" not in text
    assert f"calibrate --seeds {len(SEEDS)}" in text


def test_the_log_is_resumed_and_never_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []

    def trial(kind: int, seed: int) -> dict:
        made.append((kind, seed))
        claims = {
            key: {"verdict": "absent", "effect": 0.0, "p_value": 0.5}
            for claim in KINDS[kind].claims
            for key in LIVE[claim].row_keys()
        }
        return {"kind": KINDS[kind].name, "seed": seed, "version": calibrate.__version__, "claims": claims}

    monkeypatch.setattr(calibrate, "trial", trial)
    log = tmp_path / "log.jsonl"
    calibrate.run(seeds=1, workers=1, log=log)
    assert made == [(kind, 0) for kind in range(len(KINDS))]
    text = calibrate.run(seeds=2, workers=1, log=log)
    assert made[len(KINDS) :] == [(kind, 1) for kind in range(len(KINDS))]
    assert "**NO**" in text  # nothing replicated on the planted models of this made-up log
    old = json.loads(log.read_text().splitlines()[0]) | {"version": "0.0.1"}
    log.write_text(json.dumps(old) + "\n")
    with pytest.raises(UsageError, match=r"was made by version 0\.0\.1"):
        calibrate.run(seeds=1, workers=1, log=log)


@pytest.mark.parametrize(
    ("kind", "hits", "fine"),
    [(PLANTED, 190, True), (PLANTED, 189, False), (NULL, 10, True), (NULL, 11, False), (RANDOM, 200, True)],
)
def test_the_bar_is_95_percent_on_planted_and_5_percent_on_null(kind: calibrate.Kind, hits: int, fine: bool) -> None:
    assert acceptable(kind, Rate(hits, 200)) is fine
