"""Judgements that are kept: equal to the bit when they are read, and under everything that they depend on."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_claims.judge import kept
from moe_claims.judge.judged import Broken, Judged
from moe_claims.judge.judged_json import audit_as_json, audit_from_json, judged_as_json, judged_from_json
from moe_claims.judge.kept import as_arrays, from_arrays, judgement_key
from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.types import Companion, Interval, NullDistribution


def test_rows_are_equal_when_they_are_read_again() -> None:
    judged = judged_counts(PACK)
    again = judged_from_json(json.loads(json.dumps(judged_as_json(judged))))
    assert again.results == judged.results
    assert all(
        type(row.verdict) is type(other.verdict) for row, other in zip(again.results, judged.results, strict=True)
    )


@given(st.lists(st.floats(allow_nan=False), min_size=4, max_size=4))
def test_every_number_survives(numbers: list[float]) -> None:
    row = judged_counts(PACK).results[0]
    interval = Interval(numbers[0], numbers[1], 0.95, "m")
    null = NullDistribution("m", None, numbers[2], "upper", (0.0, 1.0), (numbers[3], numbers[0]), None, True)
    row = replace(
        row,
        effect=numbers[3],
        interval=interval,
        companions={"c": Companion(numbers[2], interval)},
        null_distribution=null,
    )
    arrays = as_arrays(judged_as_json(Judged((row,))), {"a.png": b"\x89PNG"})
    document, files = from_arrays(arrays)
    assert judged_from_json(document).results == (row,)
    assert files == {"a.png": b"\x89PNG"}


def test_audits_are_equal_when_they_are_read_again() -> None:
    for audit in run_audits():
        assert audit_from_json(json.loads(json.dumps(audit_as_json(audit)))) == audit


def test_what_is_not_complete_is_not_kept() -> None:
    with pytest.raises(ValueError, match="has no row"):
        judged_as_json(Judged((), (Broken("claim", None, None, "broken"),)))


def test_the_key_changes_with_whatever_a_judgement_depends_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts: dict[str, Any] = {"weights": "a", "run": [0, 0.05]}
    first = judgement_key([PACK], **parts)
    assert judgement_key([PACK], **parts) == first
    others = [judgement_key([], **parts), *(judgement_key([PACK], **parts | {name: "other"}) for name in parts)]
    monkeypatch.setattr(kept, "_version", lambda library: "0.0")
    others.append(judgement_key([PACK], **parts))
    assert len({first, *others}) == 5


def test_the_key_changes_with_the_source_code_of_a_pack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "their_pack_for_keys"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "estimate.py").write_text("A = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    code: Callable[[str], str] = kept._code.__wrapped__
    before = code("their_pack_for_keys")
    (folder / "notes.txt").write_text("no code")
    assert code("their_pack_for_keys") == before
    (folder / "estimate.py").write_text("A = 2")
    assert code("their_pack_for_keys") != before
    sys.modules.pop("their_pack_for_keys", None)


def test_arrays_hold_plain_bytes() -> None:
    arrays = as_arrays({"x": math.pi}, {"f": b"\0\1"})
    assert all(array.dtype == np.uint8 for array in arrays.values())
