"""Which tests a run has by the packs that are chosen, and what is said where a pack or a claim is not there."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from moe_claims.judge import registry
from moe_claims.judge.pack import Case, Pack
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.pytest_plugin.parametrize import EVERYTHING, Wanted, selected

pytest_plugins = ["pytester"]

TINY = "synthetic:planted?layers=2&experts=4&hidden=16&intermediate=8&context=24"
OTHER = Pack(id="other", title="Another Paper", paper="a made-up place", claims=(LIVE["router-norm-diagonal"],))
ONE, TWO = (Wanted(pack, Case("live", "a", None, "m", None)) for pack in ("one", "two"))


@dataclass(frozen=True)
class Entry:
    """Stands for an entry point."""

    pack: Pack
    value: str = "somewhere:PACK"
    dist: Any = None

    def load(self) -> Pack:
        return self.pack


@pytest.fixture(autouse=True)
def two_packs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ours = registry.installed()[PACK.id]
    found = {PACK.id: ours, OTHER.id: registry.Installed(OTHER.id, Entry(OTHER))}  # type: ignore[arg-type]
    registry.load.cache_clear()
    monkeypatch.setattr(registry, "installed", lambda: found)
    yield
    registry.load.cache_clear()


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs the claims of the suite inside this process."""
    spec = find_spec("moe_claims.claims")
    clone = Path(__file__).parents[2] / "claims"
    claims = str(Path(spec.origin).parent if spec is not None and spec.origin else clone)

    def run(*arguments: str, where: str = claims) -> pytest.RunResult:
        options = ("--import-mode=importlib", "-p", "no:cacheprovider", "--moe-model", TINY)
        return pytester.runpytest_inprocess(where, *options, *arguments)

    return run


def collected(result: pytest.RunResult) -> list[str]:
    return [line.rpartition("::")[2] for line in result.outlines if "::" in line]


def test_of_two_tests_that_ask_for_the_same_the_own_one_is_kept() -> None:
    assert selected([("moe_claim", ONE), (EVERYTHING, ONE), (EVERYTHING, TWO)], None) == [True, False, True]
    assert selected([("moe_claim", ONE), (EVERYTHING, TWO)], ["two"]) == [False, True]


def test_by_default_our_pack_is_judged_once_and_no_other(run: Callable[..., pytest.RunResult]) -> None:
    result = run("--collect-only", "-q")
    names = collected(result)
    assert len(names) == len(set(names))
    assert not any(name.startswith("test_pack[") for name in names)
    assert "deselected" not in result.stdout.str()


def test_another_pack_is_judged_by_the_suites_own_test(run: Callable[..., pytest.RunResult]) -> None:
    result = run("--collect-only", "-q", "--moe-pack", "other")
    assert collected(result) == [f"test_pack[other/router-norm-diagonal-{TINY}-builtin]"]
    both = run("--collect-only", "-q", "--moe-pack", "other", "--moe-pack", "look_into_moes")
    assert sum(name.startswith("test_pack[other/") for name in collected(both)) == 1
    assert sum(name.startswith("test_pack[look_into_moes/") for name in collected(both)) == 0


def test_a_test_file_of_the_pack_takes_the_place_of_the_suites(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from moe_claims.packs import conclude

        @pytest.mark.moe_claim("other/router-norm-diagonal")
        def test_own(moe_result):
            conclude(moe_result)
        """
    )
    result = run(str(pytester.path), "--collect-only", "-q", "--moe-pack", "other")
    assert collected(result) == [f"test_own[{TINY}-builtin]"]


def test_what_the_user_leaves_out_of_a_packs_own_files_stays_out(run: Callable[..., pytest.RunResult]) -> None:
    clone = Path(__file__).parents[2] / "claims" / "look_into_moes" / "test_audits.py"
    if not clone.exists():
        pytest.skip("the clone's own files are no part of a wheel")
    result = run("--collect-only", "-q", f"--ignore={clone}")
    assert not any("audit" in name or name.startswith("test_pack[") for name in collected(result))


def test_the_row_has_the_name_and_the_seed_of_its_pack(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    run("--moe-pack", "other", "--moe-pack", "look_into_moes", "--moe-profile", "quick", "-k", "diagonal and not audit")
    document = json.loads((pytester.path / "claims-report" / "results.json").read_text())
    ours, theirs = sorted(document["results"], key=lambda row: row["claim"] != "look_into_moes/router-norm-diagonal")
    assert theirs["claim"] == "other/router-norm-diagonal"
    assert theirs["effect"]["value"] == ours["effect"]["value"]
    assert theirs["effect"]["ci_low"] != ours["effect"]["ci_low"]  # resampled from another seed
    assert theirs["p_adjusted"] == theirs["p_value"]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("moe_claim('router-nrom')", "there is no claim 'router-nrom': did you mean 'router-norm'?"),
        ("moe_claim('router-norm', evidence='public')", "'router-norm' is not tested on evidence 'public': live"),
        ("moe_claim('nowhere/x')", "there is no pack 'nowhere'"),
    ],
)
def test_a_test_that_names_what_is_not_there_is_one_line(
    mark: str, said: str, run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.{mark}\ndef test_x(moe_result): pass")
    result = run(where=str(pytester.path))
    assert said in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize("how", ["option", "environment", "ini"])
def test_a_pack_that_is_not_installed_is_said_once(
    how: str, run: Callable[..., pytest.RunResult], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: tuple[str, ...] = ("--moe-pack", "ohter") if how == "option" else ()
    if how == "environment":
        monkeypatch.setenv("MOE_CLAIMS_PACK", "ohter")
    if how == "ini":
        options = ("-c", str(pytester.makeini("[pytest]\nmoe_pack = ohter\n")))
    result = run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = "there is no pack 'ohter': did you mean 'other'?"
    assert (result.stdout.str() + result.stderr.str()).count(said) == 1
