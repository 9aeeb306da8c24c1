"""Results as a dataset on the hub: a JSON line per row, and the dataset card that explains them."""

import json
from collections.abc import Mapping
from typing import Any

from moe_claims.report import formatting

Row = Mapping[str, Any]

ROWS = "rows-2.jsonl"
"""File of the rows. The card, which is written once, names its columns, so other columns need another file name."""

COLUMNS = {
    "run": "string",
    "created": "string",
    "moe_claims": "string",
    "evidence": "string",
    "family": "string",
    "pack": "string",
    "claim": "string",
    "claim_version": "int64",
    "variant": "string",
    "model": "string",
    "hub_id": "string",
    "revision_sha": "string",
    "weights_sha256": "string",
    "corpus": "string",
    "verdict": "string",
    "effect_name": "string",
    "effect": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "level": "float64",
    "smallest_of_interest": "float64",
    "p_value": "float64",
    "p_adjusted": "float64",
    "unit": "string",
    "n_units": "int64",
    "published_value": "float64",
    "random_init_verdict": "string",
    "artefact": "bool",
    "reason": "string",
}
"""Name → type of each column. Types are needed because they cannot be inferred from a column that is empty."""


def rows(document: Row, run: str) -> str:
    """The rows of a results document as JSON lines; missing values are null.

    Args:
        document: the results document.
        run: name of the run.
    """
    cards = {card["name"]: card for card in document["models"]}
    return "".join(
        json.dumps(_flat(document, row, cards.get(row["model"], {}), run), ensure_ascii=False, allow_nan=False) + "\n"
        for row in document["results"]
    )


def _flat(document: Row, row: Row, card: Row, run: str) -> dict[str, Any]:
    effect, published = row["effect"], row["published"]
    found = {
        "run": run,
        "created": document["created"],
        "moe_claims": str(document["environment"]["moe_claims"]),
        **{name: row[name] for name in COLUMNS if name in row},
        **{name: card.get(name) for name in ("hub_id", "revision_sha", "weights_sha256")},
        "effect_name": effect["name"],
        "effect": effect["value"],
        **{name: effect[name] for name in ("ci_low", "ci_high", "level", "smallest_of_interest")},
        "published_value": published["value"] if published else None,
        "random_init_verdict": row["controls"].get("random_init", {}).get("verdict"),
        "artefact": formatting.artefact(row),
    }
    return {name: found[name] for name in COLUMNS}


def card(to: str) -> str:
    """The README.md of the dataset. It does not depend on a run and is written once.

    Args:
        to: ``org/name`` of the dataset.
    """
    features = "\n".join(f"  - name: {name}\n    dtype: {kind}" for name, kind in COLUMNS.items())
    return f"""---
tags:
- mixture-of-experts
- interpretability
- reproducibility
- moe-claims
configs:
- config_name: rows
  data_files:
  - split: train
    path: runs/*/{ROWS}
dataset_info:
  config_name: rows
  features:
{features}
---

# {to}

Which published claims about the internals of mixture-of-experts language models hold, measured with moe_claims. Every
run has a folder of its own in `runs/`, named by its date and the hash of its results, and is never changed:

- `results.json`: everything, by the JSON Schema of moe_claims;
- `report.md`: the same as tables, with the reason of every verdict;
- `{ROWS}`: a line per claim, variant, model and text, for the viewer and for `datasets`.

Several runs may be of one model: pick one by the column `run`. A verdict is `replicated`, `direction-only`,
`contradicted`, `absent`, `inconclusive` or `not-applicable`; `effect` stands with its interval `ci_low` to `ci_high` at
`level`; p-values are corrected within the family of tests of one run. `artefact` marks claims that replicate at random
initialisation too. `published_value` is the paper's, where it has one for the very model. Neither weights nor texts
are in here.
"""
