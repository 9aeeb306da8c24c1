"""``packs`` lists what is installed, where it comes from, and what is wrong with what cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from moe_claims import __version__
from moe_claims.commands.main import main
from moe_claims.judge import registry
from moe_claims.packs.look_into_moes.pack import PACK


@dataclass(frozen=True)
class Distribution:
    name: str = "their-pack"
    version: str = "1.2"


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing is remembered of what is installed, before and after."""
    for _ in ("before", "after"):
        registry.installed.cache_clear()
        registry.load.cache_clear()
        if _ == "before":
            yield


def listed(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["packs"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def test_our_pack_is_listed_with_all_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    said = listed(capsys)
    assert max(len(line) for line in said.splitlines()) <= 110
    flat = " ".join(said.split())
    assert said.startswith("look_into_moes (judged by default)\n    A Closer Look into Mixture-of-Experts in Large")
    assert f"({PACK.paper})" in flat
    assert f"from moe-claims {__version__}: moe_claims.packs.look_into_moes.pack:PACK" in flat
    assert "33 claims: neuron-experts, neuron-experts-sign, router-norm," in flat
    assert f"{len(PACK.audits)} audits: {', '.join(PACK.audits)}" in flat
    assert "tests: pytest --pyargs moe_claims.claims.look_into_moes --moe-pack look_into_moes" in flat
    assert all(claim.id in flat for _, claim in PACK.records())


@pytest.mark.usefixtures("fresh")
def test_a_pack_that_cannot_be_used_hides_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = registry.installed()["look_into_moes"].entry
    broken = EntryPoint("broken", "no_such_module:PACK", registry.GROUP)
    vars(broken)["dist"] = Distribution()
    with monkeypatch.context() as patched:
        patched.setattr(registry, "entry_points", lambda group: [broken, ours])
        registry.installed.cache_clear()
        said = listed(capsys)
    first, second = said.split("\n\n")
    assert first.startswith("look_into_moes (judged by default)")
    assert second.startswith("broken\n    cannot be used: pack 'broken' of their-pack 1.2 (no_such_module:PACK) cannot")
    assert "(judged by default)" not in second


@pytest.mark.usefixtures("fresh")
def test_without_any_that_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(registry, "entry_points", lambda group: [])
        assert listed(capsys) == "no packs are installed\n"
