"""A results document made up of a few rows, for what needs no model."""

from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.report import results


@pytest.fixture
def made_up_document(made_row: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """(what each row changes …, errors=[]) → a results document."""

    def make(*changes: dict[str, Any], errors: Any = ()) -> dict[str, Any]:
        return results.document(
            created="2026-01-01T00:00:00+00:00",
            environment={"moe_claims": "0", "python": "3"},
            packs=[PACK.described()],
            models=[],
            corpora=[],
            results=[made_row(**change) for change in changes],
            audits=[],
            errors=errors,
            order={},
        )

    return make
