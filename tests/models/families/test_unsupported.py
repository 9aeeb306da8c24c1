"""No mixture-of-experts model of the installed transformers is missing from the tables."""

import re
from collections.abc import Iterator
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


def test_every_config_that_counts_experts_is_named() -> None:
    from transformers import CONFIG_MAPPING

    found = set()
    for model_type in CONFIG_MAPPING:
        try:
            config = CONFIG_MAPPING[model_type]()
        except Exception:  # some have parts that must be given; their modules are looked at below
            continue
        if any(re.search(r"(^|_)experts?(_|$)", name) for name in _settings(config) if not name.startswith("_")):
            found.add(model_type)
    assert len(found) > 40
    assert found <= set(NAMED)


def test_every_folder_with_modules_of_experts_is_named() -> None:
    import transformers
    from transformers import CONFIG_MAPPING

    models = Path(transformers.__file__).parent / "models"
    folders = {file.parent.name for file in models.glob("*/modeling_*.py") if EXPERTS.search(file.read_text("utf-8"))}
    named = {CONFIG_MAPPING[name].__module__.split(".")[-2] for name in NAMED if name in CONFIG_MAPPING}
    assert len(folders) > 40
    assert folders <= named


def test_nothing_is_named_twice_and_parts_are_those_of_models() -> None:
    assert not set(FAMILIES) & set(LEFT_OUT)
    assert set(PARTS.values()) <= set(NAMED)
    assert all(LEFT_OUT[part] == f"a part of {whole}, and no language model alone" for part, whole in PARTS.items())


def test_what_is_left_out_is_known_to_the_transformers_that_the_table_was_made_with() -> None:
    import transformers
    from packaging.version import Version

    if Version(transformers.__version__) < Version("5.23"):
        pytest.skip("an older transformers knows fewer")
    assert set(LEFT_OUT) <= set(transformers.CONFIG_MAPPING)
