"""Rows as the published code records them: against a plain recording, token by token and expert by expert."""

from collections.abc import Callable
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from moe_claims.errors import ModelError, NotComparableError
from moe_claims.measure import row_order
from moe_claims.measure.accumulator import RouterScores
from moe_claims.measure.row_order import RowOrderAccumulator, measure_row_order, published_rows
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.batches import pad
from moe_claims.models.forward.experts_kernel import ExpertBatch
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.storage.tensor_source import MemorySource
from moe_claims.models.synthetic.random_init import initialise

pytestmark = pytest.mark.numerics

NAMES = ("mixtral", "olmoe", "qwen3_moe with a dense layer")
FIELDS = ("similarity", "association", "diagonal")

# Whole numbers: some scores of a token are equal.
LOGITS = st.tuples(st.integers(1, 12), st.integers(2, 6)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(-4, 4).map(float))
)


def recorded(scores: np.ndarray[Any, Any]) -> list[list[int]]:
    """(n, E) → tokens in the order in which each expert is run on them: rank after rank, token after token."""
    tokens, experts = scores.shape
    rows: list[list[int]] = [[] for _ in range(experts)]
    for rank in range(experts):
        for token in range(tokens):
            best_first = sorted(range(experts), key=lambda e: -scores[token, e])
            rows[best_first[rank]].append(token)
    return rows


def summarised(outputs: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], rows: list[list[int]]) -> list[float]:
    """Mean over rows of pairwise angular similarity, Spearman ρ of norms and scores, and share of equal ranks."""
    tokens, experts = scores.shape
    similarity, association, diagonal = [], [], []
    for j in range(tokens):
        row = [outputs[rows[e][j], e] for e in range(experts)]
        norms = [float(np.sqrt((output**2).sum())) for output in row]
        for e, f in combinations(range(experts), 2):
            cosine = float(row[e] @ row[f]) / (norms[e] * norms[f])
            similarity.append(1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi)
        association.append(spearmanr(norms, scores[j]).statistic)
        ranks = [[sorted(values).index(value) for value in values] for values in (norms, list(scores[j]))]
        diagonal += [a == b for a, b in zip(*ranks, strict=True)]
    return [float(np.mean(values)) for values in (similarity, association, diagonal)]


def observed(
    outputs: torch.Tensor, logits: torch.Tensor, lengths: list[int], *, padded: float = torch.nan
) -> RowOrderAccumulator:
    """An accumulator that has seen a micro-batch of sequences of these lengths, padding full of one number."""
    batch = pad([[1] * n for n in lengths], 0, len(lengths), "cpu")
    mask, experts = batch.mask.reshape(-1), logits.shape[1]
    asked, given_outputs = torch.zeros(len(mask), experts), torch.full((len(mask), *outputs.shape[1:]), padded)
    asked[mask], given_outputs[mask] = logits, outputs
    found = RowOrderAccumulator(RouterScores(torch.eye(experts), "'m', layer 2"), [batch], "'m', layer 2")
    chosen = asked.topk(1).indices
    for start in range(0, len(mask), 4):  # several chunks, the last one short
        part = slice(start, start + 4)
        chunk = (asked[part], given_outputs[part], torch.ones(1), chosen[part], asked[part], ())
        found.observe(ExpertBatch(*chunk, start))
    return found


@given(LOGITS)
def test_rows_are_those_of_a_plain_recording(scores: np.ndarray[Any, Any]) -> None:
    rows = published_rows(torch.from_numpy(scores)).numpy()
    assert rows.T.tolist() == recorded(scores)
    rank = (-scores).argsort(axis=1, kind="stable").argsort(axis=1)
    for expert in range(scores.shape[1]):
        sorted_by = np.lexsort((np.arange(len(scores)), rank[:, expert]))
        np.testing.assert_array_equal(rows[:, expert], sorted_by)
        assert sorted(rows[:, expert]) == list(range(len(scores)))  # every token once


@given(st.permutations(range(5)), st.integers(1, 9), st.integers(0, 99))
def test_where_all_tokens_rank_experts_alike_nothing_is_misplaced(order: list[int], tokens: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    steps = torch.rand(tokens, 5, generator=generator) + 0.01
    logits = steps.cumsum(dim=1)[:, order]
    found = observed(torch.randn(tokens, 5, 6, generator=generator), logits, [tokens])
    (numbers,) = found.by_sequence
    assert numbers[:3] == numbers[3:6]
    assert numbers[6] == 0


def test_every_sequence_is_ordered_by_itself() -> None:
    # Two tokens that rank two experts the other way round: expert 0 is first for token 0, expert 1 for token 1.
    logits = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).repeat(2, 1)
    outputs = torch.zeros(4, 2, 2)
    outputs[:, :, 0] = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]  # of token 0 to 3
    outputs[1::2, :, 1] = outputs[1::2, :, 0]  # of odd tokens, turned by 45°
    (first, second) = observed(outputs, logits, [2, 2]).by_sequence
    # Row 0 holds token 0 of expert 0 and token 1 of expert 1, row 1 token 1 and token 0.
    assert first[6] == second[6] == 0.5
    assert first[0] == second[0] == pytest.approx(1)
    assert first[3] == second[3] == pytest.approx(0.75)
    # Row 0: the norm of expert 1 is the larger and its score the smaller; row 1: the other way round.
    assert first[4:6] == second[4:6] == pytest.approx((-1, 0))


@pytest.mark.parametrize("name", NAMES)
def test_both_orders_of_a_model_against_a_hooked_forward_pass(
    name: str, layerwise: Any, plain_run: Any, sequences: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_order, "tokens_at_once", lambda *_: 30)  # several micro-batches, with padding
    monkeypatch.setattr(experts_kernel, "_CHUNK_FLOATS", 700)  # several chunks in each
    plain = plain_run(name, dtype="float64")
    found = measure_row_order(layerwise(name, dtype="float64"), sequences)
    assert found.model == name
    assert found.layers.tolist() == list(plain.layers)
    assert found.lengths.tolist() == [len(sequence) for sequence in sequences]
    bounds = np.cumsum([0, *found.lengths])
    for number, layer in enumerate(plain.layers.values()):
        for sequence, (start, stop) in enumerate(pairwise(bounds)):
            scores, outputs = layer.logits[start:stop].numpy(), layer.outputs[start:stop].numpy()
            in_order = [list(range(stop - start))] * scores.shape[1]
            as_recorded = recorded(scores)
            for rows, measured in ((in_order, found.by_token), (as_recorded, found.published)):
                numbers = [getattr(measured, field)[number, sequence] for field in FIELDS]
                np.testing.assert_allclose(numbers, summarised(outputs, scores, rows), atol=1e-6)
            misplaced = np.mean(np.asarray(as_recorded) != np.asarray(in_order))
            assert found.misplaced[number, sequence] == pytest.approx(misplaced)
    assert 0.3 < found.misplaced.mean() < 1  # or nothing is tested here


def test_what_is_in_padding_never_enters() -> None:
    generator = torch.Generator().manual_seed(4)
    outputs, logits = torch.randn(9, 3, 4, generator=generator), torch.randn(9, 3, generator=generator)
    ends = [0, 5, 7, 9]
    together = observed(outputs, logits, [5, 2, 2]).by_sequence
    alone = [observed(outputs[a:b], logits[a:b], [b - a]).by_sequence[0] for a, b in pairwise(ends)]
    np.testing.assert_allclose(together, alone, atol=1e-12)


def _message(make: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_measured_is_one_line() -> None:
    outputs, logits = torch.ones(4, 3, 2), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    outputs[2, 1, 0] = torch.inf
    assert _message(lambda: observed(outputs, logits, [4]), ModelError) == (
        "'m', layer 2: the experts yield NaN or infinite numbers on this text"
    )
    logits[0, 0] = torch.nan
    assert _message(lambda: observed(torch.ones(4, 3, 2), logits, [4]), ModelError) == (
        "'m', layer 2: the hidden states hold NaN or infinite numbers on this text"
    )


def test_a_single_expert_has_nobody_to_be_compared_with(config_of: Any) -> None:
    config = {**config_of("mixtral"), "num_local_experts": 1, "num_experts_per_tok": 1}
    model = LayerwiseModel(Checkpoint("m", config, MemorySource(initialise(config, seed=0))))
    said = "the order of rows matters between experts, and this model has 1"
    assert _message(lambda: measure_row_order(model, [[1, 2, 3]]), NotComparableError) == said
