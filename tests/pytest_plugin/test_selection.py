"""What is selected decides what is measured, and every mistake is one line before anything is."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from moe_claims.judge.pack import Case
from moe_claims.judge.trial import Asked
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.pytest_plugin.parametrize import Wanted
from moe_claims.pytest_plugin.selection import asked_for, needed
from moe_claims.settings import settings_from

pytest_plugins = ["pytester"]

TINY = "synthetic:planted?layers=2&experts=6&hidden=16&intermediate=8&context=24"
OTHER = TINY + "&seed=1"
SETTINGS = settings_from({"model": [TINY, OTHER], "text": ["builtin", "builtin-math"]})
EVERY = [Wanted(PACK.id, case) for claim in PACK.claims for case in PACK.kinds["live"].cases(claim, SETTINGS)]
Run = Callable[..., pytest.RunResult]


def test_who_selects_everything_leaves_nothing_out() -> None:
    assert asked_for(EVERY, [PACK], SETTINGS) == {}
    audit = Wanted(PACK.id, None, "row-order")
    assert asked_for([audit, *EVERY], [PACK], SETTINGS) == {}


def test_what_is_selected_is_known_by_model() -> None:
    one = Case("live", "balanced-routing", None, TINY, "builtin-math")
    found = asked_for([Wanted(PACK.id, one)], [PACK], SETTINGS)
    assert found == {
        (PACK.id, TINY): frozenset({Asked("balanced-routing", None, "builtin-math")}),
        (PACK.id, OTHER): frozenset(),
    }
    without = asked_for([test for test in EVERY if test.case != one], [PACK], SETTINGS)
    assert list(without) == [(PACK.id, TINY)]
    assert len(without[PACK.id, TINY]) == len(EVERY) // 2 - 1


def test_models_and_texts_that_no_test_needs_are_not_opened() -> None:
    tests = [test for test in EVERY if test.case is not None and test.case.model == OTHER]
    on_weights = [test for test in tests if test.case is not None and test.case.corpus is None]
    assert needed(tests, [PACK], SETTINGS) == ([OTHER], ["builtin", "builtin-math"])
    alone = [test for test in on_weights if test.case is not None and LIVE[test.case.claim].needs == "weights"]
    assert needed(alone, [PACK], SETTINGS) == ([OTHER], [])
    robust = [test for test in on_weights if test.case is not None and LIVE[test.case.claim].needs == "texts"]
    assert needed(robust, [PACK], SETTINGS) == ([OTHER], ["builtin", "builtin-math"])


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs the claims of the suite; what is measured is kept in ``cache``."""
    spec = find_spec("moe_claims.claims")
    clone = Path(__file__).parents[2] / "claims"
    claims = str(Path(spec.origin).parent if spec is not None and spec.origin else clone)

    def run(*arguments: str) -> pytest.RunResult:
        options = ("--import-mode=importlib", "-p", "no:cacheprovider", "--moe-cache", "cache")
        return pytester.runpytest_subprocess(claims, *options, *arguments)

    return run


@pytest.mark.campaign("long")
def test_a_claim_on_weights_runs_no_text(run: Run, pytester: pytest.Pytester) -> None:
    options = ("--moe-model", TINY, "--moe-profile", "quick")
    run(*options, "-k", "neuron_experts and not sign")
    document = json.loads((pytester.path / "claims-report" / "results.json").read_text())
    (row,) = document["results"]
    assert row["claim"] == "look_into_moes/neuron-experts"
    assert row["details"]["not_asked_in_family"] > 5
    assert document["corpora"] == [] and document["errors"] == []
    assert "were not asked for and count as p = 1" in (pytester.path / "claims-report" / "report.md").read_text()
    alone = row
    run(*options)
    document = json.loads((pytester.path / "claims-report" / "results.json").read_text())
    (whole,) = [row for row in document["results"] if row["claim"] == alone["claim"]]
    assert "not_asked_in_family" not in whole["details"]
    assert (whole["effect"], whole["p_value"]) == (alone["effect"], alone["p_value"])
    assert whole["p_adjusted"] <= alone["p_adjusted"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--moe-layers", "7"), "has no MoE layer 7"),
        (("--moe-text", "some.jsonl:body"), "body"),
        (("--moe-second-model", "nobody/no-model"), "'nobody/no-model' is not in the local cache"),
        (("--moe-layers", "7", "-n", "2"), "has no MoE layer 7"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_measured(
    options: tuple[str, ...], said: str, run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "-n" in options:
        pytest.importorskip("xdist")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (pytester.path / "some.jsonl").write_text('{"text": "a b"}\n{"text": "c d"}\n')
    result = run("--moe-model", TINY, *options)
    both = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR, both
    assert both.count(said) == 1
    assert "Traceback" not in both
    assert not (pytester.path / "cache").exists()


def test_a_broken_model_is_said_early_and_the_others_are_judged(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "broken").mkdir()
    (pytester.path / "broken" / "config.json").write_text('{"model_type": "mixtral"}')
    result = run("--moe-model", "./broken", "--moe-model", TINY, "--moe-profile", "quick", "-k", "neuron_experts")
    lines = result.outlines
    early = next(number for number, line in enumerate(lines) if "./broken cannot be measured: " in line)
    assert early < next(number for number, line in enumerate(lines) if "test_neuron_experts.py" in line)
    document = json.loads((pytester.path / "claims-report" / "results.json").read_text())
    assert {error["model"] for error in document["errors"]} == {"./broken"}
    assert {row["model"] for row in document["results"]} == {TINY}
    assert "tests on models that were not asked for count as p = 1" in result.stdout.str()
