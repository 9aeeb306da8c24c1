"""docs/methods.md says what the code does: its fixed lines are compared with the claims' records."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import moe_claims
from moe_claims.judge.claim import Claim
from moe_claims.packs.look_into_moes.pack import COUNTED, LIVE, TRAINED

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
PACKAGE = Path(moe_claims.__file__).parent
HEADING = re.compile(r"^### `([a-z0-9-]+)`( on published counts)?$", re.MULTILINE)
FIXED = re.compile(
    r"Code: `(?P<code>[a-z_.]+:[a-z0-9_]+)`\. "
    r"Smallest effect of interest: (?P<smallest>−?[\d.]+)\. "
    r"Bound of equivalence: (?P<equivalence>[\d.]+|none \(a level\))\.\n"
    r"Paper says otherwise: (?P<says>[^\n]+)\.\n"
)
EVERY = [*LIVE.values(), *COUNTED.values(), *TRAINED.values()]
MODULE = re.compile(r"`((?:judge|packs|measure|models|stats)(?:/[a-z_]+)*/[a-z_]+\.py)`")


@dataclass(frozen=True)
class Section:
    claim: str
    public: bool
    text: str


def sections(page: str) -> Iterator[Section]:
    headings = list(HEADING.finditer(page))
    for heading in headings:
        rest = page[heading.end() :]
        end = re.search(r"^#", rest, re.MULTILINE)
        yield Section(heading[1], heading[2] is not None, rest[: end.start() if end else None])


def number(written: str) -> float:
    return float(written.replace("−", "-"))


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def section_of(page: str, claim: Claim) -> str:
    (found,) = (s.text for s in sections(page) if (s.claim, s.public) == (claim.id, claim.family == "public"))
    return found


def test_every_claim_has_one_section_and_every_section_a_claim(page: str) -> None:
    written = Counter((section.claim, section.public) for section in sections(page))
    expected = [(claim, False) for claim in (*LIVE, *TRAINED)] + [(claim, True) for claim in COUNTED]
    assert written == Counter(expected)


@pytest.mark.parametrize("claim", EVERY, ids=lambda claim: f"{claim.id}-{claim.family}")
def test_fixed_lines_are_those_of_the_record(page: str, claim: Claim) -> None:
    fixed = FIXED.match(section_of(page, claim).lstrip("\n"))
    assert fixed is not None, f"the section of {claim.id} does not begin with its fixed lines"
    assert f"moe_claims.packs.look_into_moes.{fixed['code']}" == claim.code
    assert number(fixed["smallest"]) == claim.smallest
    if claim.rule == "level":
        assert fixed["equivalence"] == "none (a level)"
    else:
        assert number(fixed["equivalence"]) == claim.equivalence
    for other, variants in claim.others().items():
        written = f"{other.smallest:g}".replace("-", "−")
        assert f"{written} for {' and '.join(f'*{variant}*' for variant in variants)}" in section_of(page, claim)
    said = dict(re.findall(r"([a-z0-9-]+) \((absent|opposite)\)", fixed["says"]))
    assert said == dict(claim.paper_says)
    assert bool(said) != (fixed["says"] == "of no model")


@pytest.mark.parametrize("claim", EVERY, ids=lambda c: f"{c.id}-{c.family}")
def test_every_section_says_what_is_estimated_against_what_and_what_could_fool_it(page: str, claim: Claim) -> None:
    text = section_of(page, claim)
    for part in ("Estimand", "ull", "nterval", "What can fool it"):
        assert part in text, f"{claim.id} has no {part}"


def test_modules_that_are_named_exist(page: str) -> None:
    named = set(MODULE.findall(page))
    assert {"stats/mantel.py", "stats/trend.py", "judge/verdict.py"} <= named
    assert [module for module in sorted(named) if not (PACKAGE / module).is_file()] == []


def test_references_are_used_and_works_that_are_named_are_listed(page: str) -> None:
    body, _, listed = page.partition("\n## References\n")
    work = re.compile(r"([A-ZÀ-Ž][\w’'-]+) (\d{4})\b")  # the last author and the year
    cited, known = set(work.findall(body)), set(work.findall(listed))
    assert len(known) > 20
    assert cited - known == set()
    assert known - cited == set()


def test_a_page_that_drifted_is_caught() -> None:
    claim = LIVE["neuron-experts"]
    said = "Code: `neuron_experts:unique_association`. Smallest effect of interest: 0.15. Bound of equivalence: 0.10.\n"
    page = f"### `{claim.id}`\n{said}Paper says otherwise: of no model.\n"
    with pytest.raises(AssertionError):
        test_fixed_lines_are_those_of_the_record(page, claim)
