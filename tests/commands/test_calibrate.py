"""``calibrate`` and ``power``: of the claims asked about, with the correction and the log of the whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from moe_claims.commands.main import main
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.simulation import calibration, power, trials
from moe_claims.simulation.trials import Row, Setup

Ran = list[tuple[str, tuple[str, ...]]]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ran:
    """Where the models that are run are noted; each row says that every claim replicated."""
    monkeypatch.chdir(tmp_path)
    noted: Ran = []

    def trial(setup: Setup, seed: int) -> Row:
        noted.append((setup.model.format(seed=seed), setup.claims))
        found: dict[str, Any] = {"verdict": "replicated", "effect": 0.5, "p_value": 0.001, "p_adjusted": 0.01}
        rows = {key: found for claim in setup.claims for key in LIVE[claim].row_keys()}
        return {"setup": setup.name, "seed": seed, "version": trials.__version__, "claims": rows}

    monkeypatch.setattr(trials, "trial", trial)
    monkeypatch.setattr(power, "STRENGTHS", dict.fromkeys(power.STRENGTHS, (0.0, 1.0)))
    return noted


def _run(*command: str) -> int:
    return main([*command, "--seeds", "1", "--workers", "1"])


@pytest.mark.parametrize("asked", [("router-norm-extremes",), ("corpus-robust",), ("neuron-experts", "special-expert")])
def test_kinds_that_are_about_no_claim_asked_for_are_not_run(
    asked: Sequence[str], ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for claim in asked for word in ("--claim", claim)]
    assert _run("calibrate", *options) == 0
    kinds = [kind for kind in calibration.KINDS if set(kind.claims) & set(asked)]
    assert ran == [(kind.setup.model.format(seed=0), kind.setup.claims) for kind in kinds]
    text = capsys.readouterr().out
    listed = {line.split(" ")[1].partition("[")[0] for line in text.splitlines() if line.startswith("| ")} - {"claim"}
    assert listed == set(asked)
    assert f"calibrate --seeds 1 {' '.join(options)} --output" in text
    assert text.count("\n## ") == len(kinds) >= 3


def test_the_log_of_one_claim_is_part_of_the_log_of_the_whole(ran: Ran) -> None:
    assert _run("calibrate", "--claim", "corpus-robust") == 0
    before = len(ran)
    assert _run("calibrate", "--output", "all.md") == 0
    assert len(ran) == len(calibration.KINDS) == len(set(ran))
    assert 0 < before < len(ran)
    assert "calibrate --seeds 1 --output" in Path("all.md").read_text()


def test_power_of_one_claim_runs_its_kind_of_models(ran: Ran, tmp_path: Path) -> None:
    assert _run("power", "--claim", "router-norm-extremes", "--output", "power.md") == 0
    assert ran == [
        (f"synthetic:planted?seed=0&strength={strength}&pattern=extremes", ("router-norm-extremes",))
        for strength in (0.0, 1.0)
    ]
    text = (tmp_path / "power.md").read_text()
    assert "power --seeds 1 --claim router-norm-extremes --output" in text
    assert (tmp_path / "power.png").exists()
    assert "What the number of layers allows" not in text  # which is about other claims


@pytest.mark.parametrize("command", ["calibrate", "power"])
@pytest.mark.parametrize(
    ("claim", "error"),
    [
        ("special-exprt", "there is no claim 'special-exprt': did you mean 'special-expert'?"),
        ("training-scheme", "--claim look_into_moes/training-scheme: no synthetic models are made for it"),
    ],
)
def test_a_claim_without_synthetic_models_is_refused(
    command: str, claim: str, error: str, ran: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(command, "--claim", claim, "--output", "page.md") == 4
    assert error in capsys.readouterr().err
    assert not ran
