"""The literature's numbers: loaded lightly, never shared, and shaped as the audits expect."""

import json
import subprocess
import sys
from importlib.resources import files

import pytest

from moe_claims.packs.look_into_moes.paper import architecture, published, routing_counts


def test_loading_imports_nothing_heavy() -> None:
    code = (
        "import sys, moe_claims.packs.look_into_moes.paper as paper; paper.published(); paper.routing_counts(); "
        "print([name for name in ('scipy', 'torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_files_say_where_their_numbers_come_from() -> None:
    assert published()["source"]["arxiv"] == "2406.18219"
    assert "Apache-2.0" in routing_counts()["source"]


def test_a_caller_cannot_change_what_the_next_one_reads() -> None:
    published()["table3_r2_avg"]["grok-1"]["act"] = 1.0
    assert published()["table3_r2_avg"]["grok-1"]["act"] == 0.15


@pytest.mark.parametrize(
    ("model", "layers"), [("mixtral-8x7b", 32), ("mixtral-8x22b", 56), ("deepseek-moe-16b", 27), ("grok-1", 64)]
)
def test_table_5_has_one_correlation_per_moe_layer(model: str, layers: int) -> None:
    column = published()["table5_r_gate_act_by_layer"][model]
    assert len(column) == layers == published()["models"][model]["moe_layers"]
    # A dense first layer is skipped and the others keep their true index.
    first = published()["models"][model]["total_layers"] - layers
    assert [int(layer) for layer in column] == list(range(first, first + layers))
    assert all(-1.0 <= r <= 1.0 for r in column.values())


def test_every_token_is_routed_to_top_k_experts() -> None:
    for name, model in routing_counts()["models"].items():
        for domain in model["domains"].values():
            totals = {sum(counts) for counts in domain["topk"].values()}
            assert len(totals) == 1, name
            assert totals.pop() % model["top_k"] == 0
            assert {len(counts) for counts in domain["topk"].values()} == {model["experts"]}


def test_architecture_joins_printed_facts_and_published_configurations() -> None:
    deepseek = architecture("deepseek-moe-16b")
    assert (deepseek.hidden, deepseek.routed_experts, deepseek.shared_experts, deepseek.top_k) == (2048, 64, 2, 6)
    assert deepseek.total_layers - deepseek.moe_layers == 1
    assert deepseek.dense_intermediate == 10_944
    assert deepseek.attention.query_heads * deepseek.attention.head_dim == deepseek.hidden
    assert architecture("grok-1").attention.tied_embeddings
    assert architecture("mixtral-8x7b").dense_intermediate == 0


def test_architecture_of_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no architecture known for 'olmoe': use one of mixtral-8x7b, .*grok-1"):
        architecture("olmoe")


@pytest.mark.parametrize("name", ["published_values.json", "public_routing_counts.json"])
def test_the_data_files_are_plain_json_without_nan(name: str) -> None:
    text = files("moe_claims.packs.look_into_moes").joinpath(name).read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in {name}"))
