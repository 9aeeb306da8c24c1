"""Packs are found by their entries, loaded when asked for, and refused in one line where they cannot be used."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from moe_claims._util.optional import install_command
from moe_claims.errors import UsageError
from moe_claims.judge import registry
from moe_claims.judge.pack import Pack
from moe_claims.packs.look_into_moes.pack import LIVE, PACK, TRAINED
from moe_claims.settings import settings_from
from moe_claims.types import Audit, AuditOutcome

OURS = "moe_claims.packs.look_into_moes.pack:PACK"
THEIRS = "theirs_for_tests:PACK"


@dataclass(frozen=True)
class Distribution:
    """As much of an installed distribution as an entry knows."""

    name: str
    version: str = "1.2"


def entry(name: str, value: str, distribution: str | None = "their-pack") -> EntryPoint:
    made = EntryPoint(name, value, registry.GROUP)
    # As importlib.metadata gives an entry its distribution.
    vars(made)["dist"] = None if distribution is None else Distribution(distribution)
    return made


OUR_ENTRY = entry("look_into_moes", OURS, "moe-claims")


def clear() -> None:
    registry.installed.cache_clear()
    registry.load.cache_clear()


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """(*entries) → these are installed and no others; what was loaded before and here is forgotten."""

    def install(*found: EntryPoint) -> None:
        def given(*, group: str) -> Sequence[EntryPoint]:
            assert group == "moe_claims.packs"
            return found

        monkeypatch.setattr(registry, "entry_points", given)
        clear()

    yield install
    monkeypatch.undo()
    clear()


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """(object) → what the entry of their pack names."""

    def make(pack: Any) -> None:
        module = ModuleType("theirs_for_tests")
        module.PACK = pack  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "theirs_for_tests", module)

    return make


def their_pack(**changes: Any) -> Pack:
    return Pack(
        **{
            "id": "theirs",
            "title": "Theirs",
            "paper": "arXiv 2601.00001",
            "claims": (LIVE["router-norm"], replace(LIVE["pca-clusters"], id="their-own")),
            **changes,
        }
    )


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_pack_of_this_package_is_installed_and_chosen_by_default() -> None:
    one = registry.installed()["look_into_moes"]
    assert one.ours
    assert one.distribution.startswith("moe-claims ")
    assert registry.default() == ("look_into_moes",)
    assert registry.load("look_into_moes") is PACK
    assert registry.chosen(None) == registry.chosen(["look_into_moes", "look_into_moes"]) == (PACK,)


def test_ours_come_first_and_theirs_by_name(entries: Any, theirs: Any) -> None:
    theirs(their_pack())
    entries(entry("zeta", "no_such_module_z:PACK"), entry("a_first", "no_such_module_a:PACK"), OUR_ENTRY)
    assert list(registry.installed()) == ["look_into_moes", "a_first", "zeta"]
    assert registry.default() == ("look_into_moes",)
    entries(entry("theirs", THEIRS), OUR_ENTRY, entry("zeta", "no_such_module_z:PACK"))
    assert registry.usable() == ("look_into_moes", "theirs")
    assert [pack.id for pack in registry.chosen(["theirs", "look_into_moes", "theirs"])] == ["theirs", "look_into_moes"]


def test_nothing_is_imported_before_it_is_asked_for(entries: Any) -> None:
    entries(OUR_ENTRY, entry("broken", "no_such_module_b:PACK"))
    assert list(registry.installed()) == ["look_into_moes", "broken"]
    assert registry.chosen(None) == (PACK,)


def test_names_of_distributions_are_compared_as_they_are_normalised(entries: Any) -> None:
    entries(entry("look_into_moes", OURS, "Moe_Claims"))
    assert registry.default() == ("look_into_moes",)


def test_without_our_own_pack_it_is_said_how_to_get_it(entries: Any, theirs: Any) -> None:
    theirs(their_pack())
    for found in ((), (entry("theirs", THEIRS),)):
        entries(*found)
        assert refused(registry.default) == (
            f"no pack of claims is installed; they come with the package: {install_command()}"
        )
        assert refused(lambda: registry.chosen(None)).startswith("no pack of claims is installed")
    assert [pack.id for pack in registry.chosen(["theirs"])] == ["theirs"]


def test_two_distributions_cannot_bring_one_name(entries: Any) -> None:
    entries(OUR_ENTRY, entry("same", "a:PACK", "one-dist"), entry("same", "b:PACK", "other-dist"))
    assert refused(registry.installed) == (
        "one-dist 1.2 and other-dist 1.2 both bring a pack named 'same': uninstall one of them"
    )
    entries(OUR_ENTRY, entry("look_into_moes", "evil:PACK", "other-dist"))
    assert "both bring a pack named 'look_into_moes'" in refused(registry.installed)


def test_one_distribution_that_is_seen_twice_is_one(entries: Any) -> None:
    entries(OUR_ENTRY, OUR_ENTRY)
    assert registry.default() == ("look_into_moes",)


def test_an_unknown_name_gets_a_suggestion(entries: Any) -> None:
    entries(OUR_ENTRY)
    assert refused(lambda: registry.load("look_into_moe")) == (
        "there is no pack 'look_into_moe': did you mean 'look_into_moes'?"
    )
    assert refused(lambda: registry.chosen(["xyzzy"])) == (
        "there is no pack 'xyzzy': 'python -m moe_claims packs' lists those that are installed"
    )


def test_an_entry_that_cannot_be_imported_is_one_line_with_its_origin(entries: Any) -> None:
    entries(OUR_ENTRY, entry("theirs", "no_such_module:PACK"), entry("nameless", "no_such_module:PACK", None))
    said = "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'; mend or uninstall it, or leave"
    start = "pack 'theirs' of their-pack 1.2 (no_such_module:PACK)"
    assert refused(lambda: registry.load("theirs")) == f"{start} {said} it out"
    assert refused(lambda: registry.load("nameless")).startswith("pack 'nameless' of an unknown distribution (")
    assert registry.usable() == ("look_into_moes",)
    assert registry.record("theirs/router-norm", "live") is None


@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), ValueError("pack 'x' has two claims of one id")])
def test_whatever_an_import_raises_is_one_line(error: Exception, entries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: EntryPoint) -> object:
        raise error

    entries(entry("theirs", THEIRS))
    monkeypatch.setattr(EntryPoint, "load", load)
    said = refused(lambda: registry.load("theirs"))
    assert f"cannot be loaded: {type(error).__name__}: " in said
    assert str(error).split("\n")[0] in said


def test_what_is_no_pack_is_refused(entries: Any, theirs: Any) -> None:
    entries(OUR_ENTRY, entry("theirs", THEIRS))
    theirs({"id": "theirs"})
    assert refused(lambda: registry.load("theirs")) == (
        "pack 'theirs' of their-pack 1.2 (theirs_for_tests:PACK) is not a moe_claims.packs.Pack but a dict: name one "
        "there"
    )


def test_a_pack_of_another_id_than_its_entry_is_refused(entries: Any, theirs: Any) -> None:
    entries(OUR_ENTRY, entry("theirs", THEIRS))
    theirs(their_pack(id="others"))
    assert refused(lambda: registry.load("theirs")) == (
        "pack 'theirs' of their-pack 1.2 (theirs_for_tests:PACK) has the id 'others': entry and id must be the same"
    )


def test_a_claim_is_found_by_its_name_alone_unless_two_packs_have_it(entries: Any, theirs: Any) -> None:
    theirs(their_pack())
    entries(OUR_ENTRY, entry("theirs", THEIRS))
    both = registry.chosen(["look_into_moes", "theirs"])
    assert registry.resolve("their-own", both) == (both[1], "their-own")
    assert registry.resolve("pca-clusters", both) == (PACK, "pca-clusters")
    assert registry.resolve("training-scheme", both) == (PACK, "training-scheme")
    assert registry.resolve("figure10-diagonal", both) == (PACK, "figure10-diagonal")  # an audit
    assert refused(lambda: registry.resolve("router-norm", both)) == (
        "'router-norm' may be look_into_moes/router-norm and theirs/router-norm: write one of them"
    )
    assert registry.resolve("theirs/router-norm", both) == (both[1], "router-norm")
    assert registry.resolve("theirs/router-norm", [PACK]) == (both[1], "router-norm")  # named, so it is looked for
    assert registry.resolve("router-norm", [PACK]) == (PACK, "router-norm")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("router-nor", "there is no claim 'router-nor': did you mean 'router-norm'?"),
        ("xyzzy", "there is no claim 'xyzzy': 'python -m moe_claims claims' lists them"),
        (
            "look_into_moes/router-nor",
            "there is no claim 'look_into_moes/router-nor': did you mean 'look_into_moes/router-norm'?",
        ),
        ("look_into_moe/router-norm", "there is no pack 'look_into_moe': did you mean 'look_into_moes'?"),
    ],
)
def test_a_claim_that_is_not_there_gets_a_suggestion(key: str, said: str, entries: Any) -> None:
    entries(OUR_ENTRY)
    assert refused(lambda: registry.resolve(key, [PACK])) == said


def test_a_row_finds_its_record_or_none(entries: Any, theirs: Any) -> None:
    theirs(their_pack())
    entries(OUR_ENTRY, entry("theirs", THEIRS))
    assert registry.record("look_into_moes/router-norm", "live") is LIVE["router-norm"]
    assert registry.record("look_into_moes/training-scheme", "trained") is TRAINED["training-scheme"]
    found = registry.record("theirs/their-own", "live")
    assert found is not None and found.id == "their-own"
    for key, evidence in (
        ("look_into_moes/training-scheme", "live"),
        ("look_into_moes/of-another-version", "live"),
        ("look_into_moes/router-norm", "hearsay"),
        ("elsewhere/router-norm", "live"),
        ("router-norm", "live"),
        ("", "live"),
    ):
        assert registry.record(key, evidence) is None


def test_an_audit_is_told_its_pack() -> None:
    said = Audit("one", "It is so.", "Table 1", AuditOutcome.AGREES, "1", "1", "1 is 1.")
    settings = settings_from({"model": ["synthetic:null"]})
    seen = []
    pack = their_pack(audits={"one": lambda given: seen.append(given) or said})
    assert registry.audit(pack, "one", settings) == replace(said, pack="theirs")
    assert seen == [settings]
