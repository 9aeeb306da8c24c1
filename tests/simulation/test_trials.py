"""Trials: the log is resumed and never mixed, and a trial is judged as a user's model is."""

import json
from pathlib import Path

import pytest

from moe_claims import __version__
from moe_claims.errors import UsageError
from moe_claims.simulation import trials
from moe_claims.simulation.trials import Row, Setup

SETUP = Setup("synthetic:planted?seed={seed}", "synthetic:dense?seed={seed}", "synthetic:planted?seed={other}")
OTHER = Setup("synthetic:null?seed={seed}", SETUP.dense, SETUP.second, ("builtin", "builtin-math"))


def test_names_of_setups_tell_them_apart() -> None:
    few = Setup(SETUP.model, claims=("router-norm",))
    assert len({SETUP.name, OTHER.name, few.name, Setup(SETUP.model).name}) == 4
    assert "builtin,builtin-math" in OTHER.name


def test_the_log_is_resumed_and_never_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Setup, int]] = []

    def trial(setup: Setup, seed: int) -> Row:
        made.append((setup, seed))
        return {"setup": setup.name, "seed": seed, "version": __version__, "claims": {}}

    monkeypatch.setattr(trials, "trial", trial)
    log = tmp_path / "log.jsonl"
    first = trials.run([SETUP, OTHER], 1, workers=1, log=log, label="trying")
    assert made == [(SETUP, 0), (OTHER, 0)]
    second = trials.run([SETUP, OTHER], 2, workers=1, log=log, label="trying")
    assert made[2:] == [(SETUP, 1), (OTHER, 1)]
    assert [row["seed"] for row in second[OTHER.name]] == [0, 1]
    assert second[SETUP.name][0] == first[SETUP.name][0]
    assert len(log.read_text().splitlines()) == 4
    old = json.loads(log.read_text().splitlines()[0]) | {"version": "0.0.1"}
    log.write_text(json.dumps(old) + "\n")
    with pytest.raises(UsageError, match=r"was made by version 0\.0\.1: give another --log, or delete it"):
        trials.run([SETUP], 1, workers=1, log=log, label="trying")


@pytest.mark.campaign("long")
def test_workers_make_what_one_process_makes(tmp_path: Path) -> None:
    small = Setup(f"{SETUP.model}&layers=7&context=12", claims=("router-norm", "weight-diversity-depth"))
    alone = trials.run([small], 2, workers=1, log=tmp_path / "alone.jsonl", label="trying")
    together = trials.run([small], 2, workers=2, log=tmp_path / "together.jsonl", label="trying")
    assert alone == together
    verdicts = [row["verdict"] for row in alone[small.name][0]["claims"].values()]
    assert "replicated" in verdicts


def test_what_breaks_is_no_result() -> None:
    with pytest.raises(UsageError, match="synthetic:planted has no option 'sede'"):
        trials.trial(Setup("synthetic:planted?sede={seed}", SETUP.dense, SETUP.second), 1)
