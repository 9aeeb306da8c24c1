"""What a pytest run asks for, by the tests that were selected, and the checks before anything is measured."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from moe_claims.judge.pack import Pack
from moe_claims.pytest_plugin.parametrize import Wanted
from moe_claims.settings import Settings

if TYPE_CHECKING:
    from moe_claims.judge.trial import Asked

LIVE = "live"


def asked_for(
    tests: Iterable[Wanted], packs: Sequence[Pack], settings: Settings
) -> "dict[tuple[str, str], frozenset[Asked]]":
    """(Pack, model) → the tests on the model that were selected, where these are not all that the pack has.

    Args:
        tests: what the selected tests of the run ask for.
        packs: packs of the run; a pack and model of them without a selected test are there with none.
        settings: the run's options.
    """
    from moe_claims.judge.trial import Asked

    selected: dict[tuple[str, str], set[Asked]] = {}
    for test in tests:
        if test.case is not None and test.case.evidence == LIVE and test.case.model is not None:
            asked = Asked(test.case.claim, test.case.variant, test.case.corpus)
            selected.setdefault((test.pack, test.case.model), set()).add(asked)
    found = {}
    for pack in packs:
        cases = [case for claim in pack.claims for case in pack.kinds[LIVE].cases(claim, settings)]
        for model in dict.fromkeys(ref.name for ref in settings.models):
            every = {Asked(case.claim, case.variant, case.corpus) for case in cases if case.model == model}
            asked_of_it = selected.get((pack.id, model), set())
            if every - asked_of_it:
                found[pack.id, model] = frozenset(asked_of_it)
    return found


def needed(tests: Iterable[Wanted], packs: Sequence[Pack], settings: Settings) -> tuple[list[str], list[str]]:
    """The models, and the texts, that the selected tests need, in the order of the settings."""
    live = [(test.pack, test.case) for test in tests if test.case is not None and test.case.evidence == LIVE]
    models = {case.model for _, case in live}
    corpora = {case.corpus for _, case in live}
    on_all = {(pack.id, claim.id) for pack in packs for claim in pack.claims if claim.needs == "texts"}
    if any((pack, case.claim) in on_all for pack, case in live):
        corpora |= set(settings.texts)
    return (
        [ref.name for ref in settings.models if ref.name in models],
        [name for name in settings.texts if name in corpora],
    )
