"""The audit of the order of rows: where outputs depend on the token, where nothing is misplaced, and in between."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel

from moe_claims.measure.accumulator import RouterScores
from moe_claims.measure.measurement import RowOrderMeasurement, RowsInOrder
from moe_claims.measure.row_order import RowOrderAccumulator
from moe_claims.models.forward.batches import pad
from moe_claims.models.forward.experts_kernel import ExpertBatch
from moe_claims.packs.look_into_moes.audits.row_order import row_order
from moe_claims.types import Audit, AuditOutcome

pytestmark = pytest.mark.numerics

SEQUENCES, TOKENS, EXPERTS = 8, 24, 6

Layer = Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]
"""Draws (T, E) logits and (T, E, d) outputs of one layer."""


def measured(draw: Layer, *, layers: int = 3) -> RowOrderMeasurement:
    """What both orders give on layers drawn like this."""
    batch = pad([[1] * TOKENS] * SEQUENCES, 0, SEQUENCES, "cpu")
    by_layer = []
    for layer in range(layers):
        logits, outputs = draw(torch.Generator().manual_seed(layer))
        accumulator = RowOrderAccumulator(RouterScores(torch.eye(EXPERTS), "'m'"), [batch], "'m'")
        chosen = logits.topk(2).indices
        accumulator.observe(ExpertBatch(logits, outputs, torch.ones(1), chosen, logits, (), 0))
        by_layer.append(accumulator.by_sequence)
    found = np.moveaxis(np.asarray(by_layer), -1, 0)
    lengths = np.full(SEQUENCES, TOKENS)
    orders = RowsInOrder(*found[:3]), RowsInOrder(*found[3:6])
    return RowOrderMeasurement("m", np.arange(2, layers + 2), lengths, *orders, found[6])


def depends_on_token(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """All experts turn a token into nearly the same direction, and the larger the higher they are scored."""
    count = SEQUENCES * TOKENS
    logits = torch.randn(count, EXPERTS, generator=generator)
    directions = torch.randn(count, 1, 12, generator=generator)
    noise = torch.randn(count, EXPERTS, 12, generator=generator)
    return logits, logits.exp()[:, :, None] * (directions + 0.3 * noise)


def routed_alike(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs as above, but all tokens rank the experts in one order."""
    logits, outputs = depends_on_token(generator)
    return logits.sort(dim=1).values, outputs


def does_not_depend_on_token(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens are routed in every way, but what an expert yields is always the same."""
    logits, outputs = depends_on_token(generator)
    return logits, outputs[:1].expand_as(outputs).clone()


def made_up(similarity: Any, rho: Any) -> RowOrderMeasurement:
    """(S,) differences of one layer, published less by token."""
    shape = (1, len(similarity))
    base = RowsInOrder(np.full(shape, 0.6), np.full(shape, 0.3), np.full(shape, 0.4))
    published = RowsInOrder(base.similarity + similarity, base.association + rho, base.diagonal - 0.2)
    lengths = np.full(len(similarity), 50)
    return RowOrderMeasurement("m", np.arange(1), lengths, base, published, np.full(shape, 0.875))


def number(audit: Audit, name: str) -> float:
    value = audit.values[name]
    assert isinstance(value, int | float)
    return float(value)


def test_outputs_that_depend_on_the_token_are_taken_apart() -> None:
    audit = row_order(measured(depends_on_token))
    assert audit.outcome is AuditOutcome.DISAGREES
    assert number(audit, "similarity by_token") > 0.85
    assert number(audit, "similarity published") < 0.70
    assert number(audit, "rho by_token") > 0.8
    assert number(audit, "rho published") < 0.4
    assert number(audit, "similarity difference_high_95") < 0
    assert number(audit, "rho difference_high_95") < 0
    assert 0.5 < number(audit, "rows_misplaced") < 1
    assert audit.reason.endswith("the order of rows changes what is reported.")


def test_where_all_tokens_are_routed_alike_the_order_is_that_of_tokens() -> None:
    audit = row_order(measured(routed_alike))
    assert audit.outcome is AuditOutcome.AGREES
    assert number(audit, "rows_misplaced") == 0
    for name in ("similarity", "rho", "diagonal"):
        assert audit.values[f"{name} published"] == audit.values[f"{name} by_token"]
    for column in ("difference", "difference_low_95", "difference_high_90"):
        assert audit.values[f"similarity {column}"] == audit.values[f"rho {column}"] == 0
    assert audit.reason.startswith("On m, 0.00% of the rows")
    assert audit.reason.endswith("the order of rows changes neither of the first two by 0.01 or more.")


def test_misplaced_rows_alone_change_nothing_where_outputs_are_the_same_for_every_token() -> None:
    audit = row_order(measured(does_not_depend_on_token))
    assert audit.outcome is AuditOutcome.AGREES
    assert number(audit, "rows_misplaced") > 0.5
    assert number(audit, "similarity difference") == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("similarity", "rho", "outcome"),
    [
        ([-0.05, 0.04], [0.0, 0.0], AuditOutcome.LACKS_POWER),  # two sequences that say different things
        ([-0.09, -0.085], [0.0, 0.0], AuditOutcome.DISAGREES),
        ([0.0, 0.0, 0.0], [-0.2, 0.15, -0.1], AuditOutcome.LACKS_POWER),
        ([0.0, 0.0, 0.0], [-0.2, -0.15, -0.21], AuditOutcome.DISAGREES),  # either of the two suffices
        ([0.09, 0.085], [0.0, 0.0], AuditOutcome.DISAGREES),  # whatever its direction
        (
            [0.0, 0.0, 0.0],
            [-0.2, -0.1, -0.21],
            AuditOutcome.LACKS_POWER,
        ),  # p = 0.040 would do for one test, not for two
        ([0.004, 0.0041, 0.0042], [0.0, 0.0, 0.0], AuditOutcome.AGREES),  # beyond chance, and too small to matter
        ([0.002, -0.002, 0.001], [-0.003, 0.001, 0.002], AuditOutcome.AGREES),
        ([1e-15, 1e-15, 1e-15], [0.0, 0.0, 0.0], AuditOutcome.AGREES),  # rounding
    ],
)
def test_outcomes(similarity: list[float], rho: list[float], outcome: AuditOutcome) -> None:
    assert row_order(made_up(np.asarray(similarity), np.asarray(rho))).outcome is outcome


def test_intervals_are_those_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    differences = rng.normal(-0.01, 0.03, size=9)
    found = made_up(differences, differences)
    audit = row_order(found)
    test = ttest_rel(found.published.similarity[0], found.by_token.similarity[0])
    for level in (95, 90):
        low, high = test.confidence_interval(level / 100)
        assert number(audit, f"similarity difference_low_{level}") == pytest.approx(low)
        assert number(audit, f"similarity difference_high_{level}") == pytest.approx(high)
    assert (audit.outcome is AuditOutcome.DISAGREES) == (test.pvalue < 0.025)


def test_layers_and_sequences_count_alike_whatever_their_length() -> None:
    rng = np.random.default_rng(0)
    by_token, published = (RowsInOrder(*rng.random((3, 4, 5))) for _ in range(2))
    found = RowOrderMeasurement("m", np.arange(4), np.arange(2, 7), by_token, published, rng.random((4, 5)))
    values = row_order(found).values
    for name, field in (("similarity", "similarity"), ("rho", "association"), ("diagonal", "diagonal")):
        assert values[f"{name} published"] == pytest.approx(getattr(published, field).mean())
        assert values[f"{name} by_token"] == pytest.approx(getattr(by_token, field).mean())
    assert values["first layer similarity published"] == pytest.approx(published.similarity[0].mean())
    assert values["first layer similarity by_token"] == pytest.approx(by_token.similarity[0].mean())
    assert (values["layers"], values["sequences"], values["tokens"]) == (4, 5, 20)


def test_texts_say_what_was_measured_on_which_model() -> None:
    audit = row_order(made_up(np.full(3, -0.1), np.asarray([-0.1, -0.2, -0.3])))
    assert audit.printed == (
        "in the published order mean angular similarity 0.500, ρ of norms and scores 0.100, equal ranks 0.200 (the "
        "paper's outputs cannot be had: our own measurement on m, a GELU model of the Grok-1 family)"
    )
    assert audit.recomputed == (
        "in token order mean angular similarity 0.600, ρ of norms and scores 0.300, equal ranks 0.400 (the same "
        "outputs of m)"
    )
    assert audit.reason == (
        "On m, 87.50% of the rows hold another token than their place says; from token order to the published order "
        "similarity goes 0.600 → 0.500, ρ of norms and scores 0.300 → 0.100, the share of equal ranks 0.400 → 0.200: "
        "the order of rows changes what is reported."
    )
    assert "CLAIMS" not in audit.source and "grok/modeling_grok1.py" in audit.source
    json.dumps(dict(audit.values), allow_nan=False)


def test_one_sequence_is_no_sample() -> None:
    with pytest.raises(ValueError, match="at least 2 units"):
        row_order(made_up(np.zeros(1), np.zeros(1)))
