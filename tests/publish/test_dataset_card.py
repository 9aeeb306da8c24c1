"""Rows and card of the dataset, read back by the library that the hub's viewer is built on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from moe_claims.publish import dataset_card

Make = Callable[..., dict[str, Any]]
HOSTILE = ["<script>alert(1)</script>", "=HYPERLINK(1)", "a\u2028b\nc", "---\nconfigs: []", '"', "🙂" * 300]


def test_every_row_has_every_column(a_results_file: Make) -> None:
    document = a_results_file({}, {"verdict": "not-applicable", "effect": None, "interval": None})
    lines = dataset_card.rows(document, "a-run").splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(list(row) == list(dataset_card.COLUMNS) for row in rows)
    assert rows[0]["effect"] == 0.63
    assert (rows[0]["ci_low"], rows[0]["ci_high"], rows[0]["level"]) == (0.6, 0.66, 0.95)
    assert (rows[0]["run"], rows[0]["model"], rows[0]["weights_sha256"]) == ("a-run", "a-model", "0" * 64)
    assert rows[1]["effect"] is rows[1]["ci_low"] is rows[1]["random_init_verdict"] is None
    python = {"string": str, "float64": float, "int64": int, "bool": bool}
    for row in rows:
        assert all(value is None or type(value) is python[dataset_card.COLUMNS[name]] for name, value in row.items())


def test_what_stands_beside_a_verdict_goes_along(a_results_file: Make) -> None:
    document = a_results_file({})
    document["results"][0]["published"] = {"value": 0.63}
    document["results"][0]["controls"] = {"random_init": {"verdict": "replicated", "artefact": True}}
    (row,) = map(json.loads, dataset_card.rows(document, "a-run").splitlines())
    assert (row["published_value"], row["random_init_verdict"], row["artefact"]) == (0.63, "replicated", True)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stays_within_its_line(name: str, a_results_file: Make) -> None:
    lines = dataset_card.rows(a_results_file({"model": name, "reason": name}, {}), "a-run").split("\n")
    assert len(lines) == 3
    assert {json.loads(line)["model"] for line in lines[:2]} == {name, "a-model"}


def test_the_cards_head_says_where_the_rows_are() -> None:
    _, head, body = dataset_card.card("org/found").split("---\n", 2)
    found = yaml.safe_load(head)
    assert found["configs"] == [
        {"config_name": "rows", "data_files": [{"split": "train", "path": "runs/*/rows-2.jsonl"}]}
    ]
    features = {feature["name"]: feature["dtype"] for feature in found["dataset_info"]["features"]}
    assert features == dataset_card.COLUMNS
    assert body.startswith("\n# org/found\n")


def test_the_viewers_library_reads_all_runs(
    a_results_file: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    empty = {"verdict": "not-applicable", "effect": None, "interval": None, "p_value": None, "n_units": None}
    folder = tmp_path / "found"
    for run, row in (("2026-01-01-a", {**empty, "variant": None}), ("2026-01-02-b", {})):
        place = folder / "runs" / run
        place.mkdir(parents=True)
        (place / "rows-2.jsonl").write_text(dataset_card.rows(a_results_file(row, row), run), encoding="utf-8")
        (place / "results.json").write_text(json.dumps(a_results_file(row)), encoding="utf-8")
    (folder / "README.md").write_text(dataset_card.card("org/found"), encoding="utf-8")
    found = datasets.load_dataset(str(folder), "rows", split="train", cache_dir=str(tmp_path / "cache"))
    assert found["run"] == ["2026-01-01-a"] * 2 + ["2026-01-02-b"] * 2
    assert found["effect"] == [None, None, 0.63, 0.63]  # empty in the first run, and a number all the same
    assert {name: feature.dtype for name, feature in found.features.items()} == dataset_card.COLUMNS
