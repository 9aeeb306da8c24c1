"""Measurements made up: neutral in everything but what a test gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement


@pytest.fixture(scope="session")
def made_up_routed() -> Callable[..., RoutedMeasurement]:
    """(layers=8, sequences=12, tokens=20, experts=8, top_k=2, seed=0, **fields) → a measurement of noise.

    Router logits and norms are noise, the chosen experts follow the logits, similarities are level.
    Fields that are given replace what is made up, and ``chosen`` follows ``router_logits`` where it is not given.
    """

    def make(
        layers: int = 8, sequences: int = 12, tokens: int = 20, experts: int = 8, top_k: int = 2, seed: int = 0,
        **fields: Any,
    ) -> RoutedMeasurement:  # fmt: skip
        rng = np.random.default_rng(seed)
        shape = (layers, sequences * tokens, experts)
        logits = fields.get("router_logits", rng.standard_normal(shape))
        alike = np.full((layers, sequences, experts, experts), 0.6 * tokens)
        alike[..., np.arange(experts), np.arange(experts)] = tokens
        made = {
            "layers": np.arange(layers),
            "lengths": np.full(sequences, tokens),
            "router_logits": logits,
            "output_norms": 1.0 + rng.random(shape),
            "chosen": np.argsort(-logits, axis=-1, kind="stable")[..., :top_k],
            "angular_sums": alike,
            "nats": np.full(sequences, 3.0),
            "chosen_similarity": np.full((layers, sequences, 2), 0.6 * tokens),
            "active_sums": np.full((layers, sequences, experts), 0.99 * tokens),
            "magnitude_sums": np.full((layers, sequences, experts), 0.5 * tokens),
            "index_sums": np.zeros((layers, sequences)),
            "index_shifted": np.zeros((layers, 12)),
        }
        return RoutedMeasurement(**{**made, **fields})

    return make


@pytest.fixture(scope="session")
def made_up_weights() -> Callable[..., WeightMeasurement]:
    """(layers=8, experts=8, seed=0, **fields) → cosines of random rows, unrelated to each other, unless given.

    ``matrix`` and ``mean`` may be given in part: the roles that are left out are random.
    """

    def make(layers: int = 8, experts: int = 8, seed: int = 0, **fields: Any) -> WeightMeasurement:
        rng = np.random.default_rng(seed)

        def cosines() -> np.ndarray:
            rows = rng.standard_normal((layers, experts, 24))
            rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
            return rows @ rows.transpose(0, 2, 1)

        roles = ("up", "act", "down")
        return WeightMeasurement(
            np.arange(layers),
            fields.get("router", cosines()),
            {role: cosines() for role in roles} | dict(fields.get("matrix", {})),
            {role: cosines() for role in roles} | dict(fields.get("mean", {})),
        )

    return make
