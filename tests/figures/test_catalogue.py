"""The table of kinds: every row can be a file, names claims that there are, and figures that their records name."""

import re

import pytest

from moe_claims.figures.catalogue import KINDS, Kind
from moe_claims.packs.look_into_moes.pack import LIVE, TRAINED

CLAIMS = {**LIVE, **TRAINED}

BY_ID = {kind.id: kind for kind in KINDS}


def test_ids_are_names_of_files_and_no_two_alike() -> None:
    assert len(BY_ID) == len(KINDS) == 18
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in BY_ID)
    assert len({kind.title for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=list(BY_ID))
def test_numbers_of_figures_are_those_that_the_claims_name(kind: Kind) -> None:
    assert set(kind.claims) <= set(CLAIMS)
    named = " ".join(CLAIMS[claim].section for claim in kind.claims)
    known = set(re.findall(r"\d+", " ".join(re.findall(r"Figures? ([\d, and]+)", named))))
    given = set(re.findall(r"\d+", " ".join(re.findall(r"Figures? ([\d, and]+)", kind.counterpart))))
    assert given <= known


@pytest.mark.parametrize("kind", KINDS, ids=list(BY_ID))
def test_captions_say_what_to_look_for(kind: Kind) -> None:
    assert "Look " in kind.caption
    assert kind.caption.endswith(".")
