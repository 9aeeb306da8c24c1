"""The page of families: what the command prints, one line for every family."""

import re
from pathlib import Path

import pytest

from moe_claims.commands.main import main
from moe_claims.models.families.listing import render
from moe_claims.models.families.table import FAMILIES
from moe_claims.models.families.unsupported import LEFT_OUT

PAGE = Path(__file__).parents[3] / "docs" / "families.md"


def test_the_page_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--families"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8")


def test_every_family_has_one_line_that_says_what_applies_to_it() -> None:
    lines = dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", render(), re.MULTILINE))
    assert list(lines) == sorted({**FAMILIES, **LEFT_OUT})
    for name, line in lines.items():
        claims, _, said = line.partition(" | ")
        row = FAMILIES.get(name)
        assert claims == ("none" if row is None else "on weights" if row.weights_only else "all")
        assert (LEFT_OUT[name] if row is None else row.weights_only) in said
    assert "it cannot be run: " in lines["llama4"] and "run one by one" in lines["glm_moe_dsa"]


def test_counts_are_those_of_the_lines() -> None:
    page = render()
    kinds = [len(re.findall(rf"^\| `[^`]+` \| {kind} \|", page, re.MULTILINE)) for kind in ("all", "on weights")]
    assert [int(count) for count in re.findall(r"(\d+) families are read .*; of (\d+) the", page)[0]] == kinds
