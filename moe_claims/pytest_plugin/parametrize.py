"""Parametrises marked test functions: one test per variant, model and text of a claim, or per audit."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from moe_claims.judge.pack import Case, Pack

if TYPE_CHECKING:
    import pytest

    from moe_claims.settings import Settings

EVERYTHING = "moe_pack"
"""Name of the mark of the test that runs packs without their own test files."""

MARKERS = {
    "moe_claim": "moe_claim(id, evidence='live'): tests a claim, on every model and text of the run or on the other "
    "evidence that is named; id may be 'pack/claim'",
    "moe_audit": "moe_audit(pack=None): runs the audits of a pack, or of all packs of the run",
    EVERYTHING: "moe_pack: every claim and audit of the run's packs that no other test of the run asks for",
}
"""Name → description of the plugin's marks, as ``pytest --markers`` lists them."""


@final
@dataclass(frozen=True)
class Wanted:
    """The row or audit that one test asks for."""

    pack: str
    """Id of the pack."""
    case: Case | None
    """Case of a claim; None for an audit."""
    audit: str | None = None
    """Id of an audit; None for a claim."""

    @property
    def test(self) -> str:
        """The test in full: ``pack/claim[variant]``, and the text where there is one; or ``pack/audit``."""
        if self.case is None:
            return self.name
        return f"{self.pack}/{self.case.test}"

    @property
    def name(self) -> str:
        """``pack/claim`` or ``pack/audit``."""
        return f"{self.pack}/{self.audit if self.case is None else self.case.claim}"


Named = tuple[str, Wanted]
"""(Suffix of the test's name, what it asks for)."""


def of(marker: "pytest.Mark", settings: "Settings", packs: Callable[[], Sequence[Pack]]) -> list[Named]:
    """The tests of a marked function.

    Args:
        marker: one of ``MARKERS``.
        settings: the run's options.
        packs: function that returns the packs of the run.

    Raises:
        UsageError: there is no such claim or pack, or no such evidence for the claim.
    """
    if marker.name == "moe_claim":
        return _claim(*marker.args, **marker.kwargs, settings=settings, packs=packs())
    if marker.name == "moe_audit":
        return _audits(_named(*marker.args, **marker.kwargs, packs=packs))
    return [(f"{wanted.name}{name}", wanted) for name, wanted in _everything(packs(), settings)]


def _claim(key: str, evidence: str = "live", *, settings: "Settings", packs: Sequence[Pack]) -> list[Named]:
    from moe_claims.errors import UsageError
    from moe_claims.judge.registry import resolve

    pack, claim = resolve(key, packs)
    kind = pack.kinds.get(evidence)
    if kind is None or claim not in kind.claims:
        known = [name for name, other in pack.kinds.items() if claim in other.claims]
        raise UsageError(f"'{key}' is not tested on evidence '{evidence}': {' and '.join(known) or 'it is an audit'}")
    return [(case.name, Wanted(pack.id, case)) for case in kind.cases(kind.claims[claim], settings)]


def _named(pack: str | None = None, *, packs: Callable[[], Sequence[Pack]]) -> Sequence[Pack]:
    from moe_claims.judge.registry import load

    return packs() if pack is None else [load(pack)]


def _audits(packs: Iterable[Pack]) -> list[Named]:
    return [(audit, Wanted(pack.id, None, audit)) for pack in packs for audit in pack.audits]


def _everything(packs: Iterable[Pack], settings: "Settings") -> list[Named]:
    found: list[Named] = [("", wanted) for _, wanted in _audits(packs)]
    for pack in packs:
        for kind in pack.kinds.values():
            for claim in kind.claims.values():
                found += [(f"-{case.name}", Wanted(pack.id, case)) for case in kind.cases(claim, settings)]
    return found


def selected(wanted: Sequence[tuple[str, Wanted]], chosen: Sequence[str] | None) -> list[bool]:
    """Decides which tests of a run are kept.

    Kept are tests of the chosen packs. If a pack's own test and the test of all packs ask for the same, the own one
    is kept.

    Args:
        wanted: (name of the mark, what the test asks for) of every test.
        chosen: names of the packs that the user chose; None for all packs.

    Returns:
        For every test, whether it is kept.
    """
    elsewhere = {one for mark, one in wanted if mark != EVERYTHING}
    return [
        (chosen is None or one.pack in chosen) and not (mark == EVERYTHING and one in elsewhere) for mark, one in wanted
    ]
