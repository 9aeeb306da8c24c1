"""No mixture-of-experts model of transformers is in neither table; of a newer release, one warning says which are."""

import re
import warnings
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from moe_claims.models.families.table import FAMILIES
from moe_claims.models.families.unsupported import LEFT_OUT, PARTS

NAMED = {**FAMILIES, **LEFT_OUT}
EXPERTS = re.compile(r"^class \w*(?:Experts?|MoE|Moe|SparseMLP)\w*\((?:nn|torch\.nn)\.Module\)", re.MULTILINE)
"""A module of experts, or a block with them."""


def _settings(config: Any) -> Iterator[str]:
    """Names of all settings, those of the parts too."""
    for name, value in vars(config).items():
        yield name
        if hasattr(value, "model_type"):
            yield from _settings(value)


@cache
def _with_experts() -> tuple[frozenset[str], frozenset[str]]:
    """Model types of transformers whose config counts experts, and folders with modules of experts."""
    import transformers
    from transformers import CONFIG_MAPPING

    counting = set()
    for model_type in CONFIG_MAPPING:
        try:
            config = CONFIG_MAPPING[model_type]()
        except Exception:  # some have parts that must be given; their modules are looked at below
            continue
        if any(re.search(r"(^|_)experts?(_|$)", name) for name in _settings(config) if not name.startswith("_")):
            counting.add(model_type)
    models = Path(transformers.__file__).parent / "models"
    folders = {file.parent.name for file in models.glob("*/modeling_*.py") if EXPERTS.search(file.read_text("utf-8"))}
    assert len(counting) > 40 and len(folders) > 40
    return frozenset(counting), frozenset(folders)


def _unnamed(named: Collection[str]) -> list[str]:
    """Those of ``_with_experts`` that are not among the named."""
    from transformers import CONFIG_MAPPING

    counting, folders = _with_experts()
    accounted = {CONFIG_MAPPING[name].__module__.split(".")[-2] for name in named if name in CONFIG_MAPPING}
    return sorted((counting - set(named)) | (folders - accounted))


@pytest.mark.newest
def test_no_model_of_the_newest_transformers_is_unnamed() -> None:
    assert _unnamed(NAMED) == []


def test_what_is_in_no_table_is_found() -> None:
    without = {name: row for name, row in NAMED.items() if not name.startswith(("mixtral", "jetmoe"))}
    found = set(_unnamed(without))
    assert {"mixtral", "jetmoe"} <= found and found - {"mixtral", "jetmoe"} == set(_unnamed(NAMED))


@pytest.mark.filterwarnings(r"default:transformers \d:UserWarning")
def test_what_is_newer_than_the_tables_is_said_in_one_warning(newer_than_the_table: str, opened: Any) -> None:
    unnamed = _unnamed(NAMED)
    if not newer_than_the_table:
        assert unnamed == []
        return
    said = [f"in no table are {', '.join(unnamed)}"] if unnamed else []
    for model_type in FAMILIES:
        try:
            opened(model_type, True)
        except pytest.skip.Exception as skipped:
            said.append(str(skipped).removeprefix(f"{newer_than_the_table}, and "))
    if said:
        warnings.warn(f"{newer_than_the_table}: {'; '.join(said)} ('tox -e newest' fails on it)", stacklevel=1)


def test_nothing_is_named_twice_and_parts_are_those_of_models() -> None:
    assert not set(FAMILIES) & set(LEFT_OUT)
    assert set(PARTS.values()) <= set(NAMED)
    assert all(LEFT_OUT[part] == f"a part of {whole}, and no language model alone" for part, whole in PARTS.items())


def test_what_is_left_out_is_known_to_the_transformers_that_the_table_was_made_with(other_than_the_table: str) -> None:
    from transformers import CONFIG_MAPPING

    if other_than_the_table:
        pytest.skip(other_than_the_table)
    assert set(LEFT_OUT) <= set(CONFIG_MAPPING)
