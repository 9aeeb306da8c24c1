"""The registry of installed packs: found by the entry-point group ``moe_claims.packs``, loaded on first use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from typing import final

from moe_claims._util.optional import install_command
from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.judge.claim import Claim
from moe_claims.judge.finding_check import scalars
from moe_claims.judge.pack import Pack
from moe_claims.settings import Settings
from moe_claims.types import Audit

GROUP = "moe_claims.packs"
"""Entry-point group. Each entry names a ``Pack``: ``their_pack = "their_package.pack:PACK"``."""
_OURS = "moe-claims"
"""Name of the distribution of this package."""


@final
@dataclass(frozen=True)
class Installed:
    """An entry point of the group, not loaded yet."""

    name: str
    entry: EntryPoint

    @property
    def distribution(self) -> str:
        """Name and version of the distribution that it belongs to."""
        dist = self.entry.dist
        return "an unknown distribution" if dist is None else f"{dist.name} {dist.version}"

    @property
    def ours(self) -> bool:
        """Whether the pack is part of this package."""
        return self.entry.dist is not None and self.entry.dist.name.replace("_", "-").lower() == _OURS


@cache
def installed() -> dict[str, Installed]:
    """All installed entries by name: those of this package first, then alphabetically.

    Raises:
        UsageError: two distributions have a pack of the same name.
    """
    found: dict[str, Installed] = {}
    for entry in entry_points(group=GROUP):
        one = Installed(entry.name, entry)
        # A distribution can be found twice, such as an installed clone that is also on the import path.
        if entry.name in found and found[entry.name].distribution != one.distribution:
            both = f"{found[entry.name].distribution} and {one.distribution}"
            raise UsageError(f"{both} both bring a pack named '{entry.name}': uninstall one of them")
        found[entry.name] = one
    return dict(sorted(found.items(), key=lambda item: (not item[1].ours, item[0])))


def ships(pack: Pack) -> bool:
    """Whether a pack is one that comes with this package, so that the package's source code is all of the pack's.

    What others' estimators import is not known, and could change without a trace.
    """
    one = installed().get(pack.id)
    return one is not None and one.ours and load(pack.id) is pack


def default() -> tuple[str, ...]:
    """Names of the packs that are part of this package.

    Raises:
        UsageError: there are none: the package is not installed, or was installed before it had packs.
    """
    names = tuple(name for name, one in installed().items() if one.ours)
    if not names:
        raise UsageError(f"no pack of claims is installed; they come with the package: {install_command()}")
    return names


def usable() -> tuple[str, ...]:
    """Names of all installed packs that can be loaded, those of this package first."""
    found = []
    for name in installed():
        try:
            load(name)
        except UsageError:
            continue
        found.append(name)
    return tuple(found)


@cache
def load(name: str) -> Pack:
    """Loads an installed pack by name.

    Raises:
        UsageError: no pack has this name, its entry point cannot be imported, or it is not a usable pack.
    """
    known = installed()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "'python -m moe_claims packs' lists those that are installed"
        raise UsageError(f"there is no pack '{name}': {hint}")
    one = known[name]
    said = f"pack '{name}' of {one.distribution} ({one.entry.value})"
    try:
        pack = one.entry.load()
    except Exception as error:
        raise UsageError(
            f"{said} cannot be loaded: {type(error).__name__}: {error}; mend or uninstall it, or leave it out"
        ) from error
    if not isinstance(pack, Pack):
        raise UsageError(f"{said} is not a moe_claims.packs.Pack but a {type(pack).__name__}: name one there")
    if pack.id != name:
        raise UsageError(f"{said} has the id '{pack.id}': entry and id must be the same")
    return pack


def chosen(names: Sequence[str] | None) -> tuple[Pack, ...]:
    """The packs with these names, each once; for None, those of this package.

    Raises:
        UsageError: one is not installed or cannot be loaded.
    """
    return tuple(load(name) for name in dict.fromkeys(default() if names is None else names))


def record(key: str, evidence: str) -> Claim | None:
    """The record of the claim that a result row is about.

    Args:
        key: ``pack/claim``.
        evidence: kind of evidence of the row.

    Returns:
        None if the pack is not installed or cannot be loaded, or if its installed version has no such claim; reports
        then show the row without its record.
    """
    name, _, claim = key.rpartition("/")
    if name not in installed():
        return None
    try:
        kind = load(name).kinds.get(evidence)
    except UsageError:
        return None
    return None if kind is None else kind.claims.get(claim)


def resolve(key: str, packs: Sequence[Pack]) -> tuple[Pack, str]:
    """Finds a claim or audit by its name; returns its pack and its id.

    Args:
        key: ``id`` or ``pack/id``.
        packs: packs to search for a name without a pack.

    Raises:
        UsageError: none of them has it, or several have.
    """
    name, _, wanted = key.rpartition("/")
    if name:
        pack = load(name)
        if wanted in _names(pack):
            return pack, wanted
        raise UsageError(f"there is no claim '{key}': {_hint(wanted, [pack], f'{name}/')}")
    having = [pack for pack in packs if wanted in _names(pack)]
    if len(having) > 1:
        both = " and ".join(pack.key(wanted) for pack in having)
        raise UsageError(f"'{wanted}' may be {both}: write one of them")
    if not having:
        elsewhere = [load(name).key(wanted) for name in usable() if wanted in _names(load(name))]
        hint = f"did you mean '{elsewhere[0]}'?" if elsewhere else _hint(wanted, packs)
        raise UsageError(f"there is no claim '{wanted}': {hint}")
    return having[0], wanted


def _names(pack: Pack) -> list[str]:
    return list(dict.fromkeys([*(claim.id for _, claim in pack.records()), *pack.audits]))


def _hint(wanted: str, packs: Sequence[Pack], prefix: str = "") -> str:
    close = get_close_matches(wanted, [name for pack in packs for name in _names(pack)], n=1)
    return f"did you mean '{prefix}{close[0]}'?" if close else "'python -m moe_claims claims' lists them"


def audit(pack: Pack, name: str, settings: Settings) -> Audit:
    """Runs one audit of a pack.

    Raises:
        MoeClaimsError: something that the audit needs is missing or cannot be computed.
    """
    auditor = pack.audits[name]
    said = f"the audit '{pack.id}/{name}'"
    try:
        found = auditor(settings)
        values = scalars(found.values) if isinstance(found, Audit) else {}
    except MoeClaimsError:
        raise
    except (Exception, SystemExit) as error:
        at = extract_tb(error.__traceback__)[-1]
        raise MoeClaimsError(
            f"{said} raised {type(error).__name__}: {error} (line {at.lineno} of {Path(at.filename).name})"
        ) from error
    if not isinstance(found, Audit) or found.id != name:
        what = f"one of the id '{found.id}'" if isinstance(found, Audit) else f"a {type(found).__name__}"
        raise MoeClaimsError(f"{said} returned {what} and not an Audit of its own id")
    if any(isinstance(value, float) and not isfinite(value) for value in values.values()):
        raise MoeClaimsError(f"{said} returned a value that is not a finite number: give None where there is none")
    return replace(found, pack=pack.id, values=values)
