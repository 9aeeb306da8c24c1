"""Measurements, results of trainings and rows made up: neutral in everything but what a test gives."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.report import results
from moe_claims.types import Interval, Result, Verdict

if TYPE_CHECKING:
    import numpy as np

    from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement
    from moe_claims.types import NullDistribution

SETTLED: dict[str, Any] = {
    "pack": PACK.id, "claim": "router-norm", "claim_version": 1, "variant": "total", "evidence": "live",
    "family": "headline", "model": "a-model", "corpus": "builtin", "verdict": Verdict.REPLICATED, "reason": "p ≤ 0.001",
    "effect_name": "mean Spearman ρ",
    "effect": 0.63123456789012345, "interval": Interval(-0.1, 1 / 3, 0.95, "BCa bootstrap over sequences"),
    "smallest": 0.10, "p_value": 1e-7, "p_adjusted": 0.0013, "null": "labels permuted", "unit": "sequence",
    "n_units": 26,
}  # fmt: skip


@pytest.fixture(scope="session")
def room_for_p() -> "Callable[[NullDistribution], tuple[float, float]]":
    """(null distribution) → the least and the largest p-value that its quantiles leave for what was observed."""

    def room(null: "NullDistribution") -> tuple[float, float]:
        # Values that are equal but for rounding tie, and decide nothing; a draw counts for 1/n.
        slack = 1e-9 * max(abs(value) for value in (*null.quantiles, null.observed))
        draw = 0.0 if null.draws is None else 1 / null.draws
        least, most = 0.0, 1.0
        for level, quantile in zip(null.levels, null.quantiles, strict=True):
            above, below = null.observed > quantile + slack, null.observed < quantile - slack
            tail = level
            if null.tail == "upper":
                tail, above, below = 1 - level, below, above
            if above:
                least = max(least, tail)
            if below:
                most = min(most, tail + draw)
        return least - 1e-9, most + 1e-9

    return room


@pytest.fixture(scope="session")
def made_up_positions() -> "Callable[..., dict[str, Any]]":
    """Makes results of the dense-layer-position experiment, in the form that its script writes."""

    def make(
        curve: "Callable[[int], float]",
        noise: "Callable[..., np.ndarray]",
        *,
        seeds: int = 5,
        kinds: Sequence[str] = ("total", "activated"),
        places: Sequence[int] = (0, 2, 4, 6, 7),
    ) -> dict[str, Any]:
        """``curve`` says what a dense layer in a place costs; ``noise(size=n)`` what else a training adds."""
        runs = []
        for seed in range(seeds):
            own = 2.0 + float(noise(size=1)[0])
            jobs: list[tuple[int | None, str | None]] = [(None, None)]
            jobs += [(place, kind) for kind in kinds for place in places]
            for (place, kind), extra in zip(jobs, noise(size=len(jobs)), strict=True):
                loss = own + float(extra) + (0.0 if place is None else curve(place))
                width = None if place is None else {"total": 580, "activated": 134}.get(str(kind), 99)
                runs.append(
                    {"seed": seed, "position": place, "matched": kind, "dense_width": width, "parameters": 900_000,
                     "held_out_nats": loss, "training_nats": loss}
                )  # fmt: skip
        settings = {"num_hidden_layers": 8, "num_experts": 16}
        recipe = {"family": "qwen2_moe", "steps": 1000, "settings": settings}
        return {"experiment": "dense-layer-position", "layers": 8, "text": "a-text.gz", "recipe": recipe, "runs": runs}

    return make


@pytest.fixture(scope="session")
def made_up_schemes() -> "Callable[..., dict[str, Any]]":
    """Makes results of the training-scheme experiment, in the form that its script writes."""

    def make(
        apart: float,
        noise: "Callable[..., np.ndarray]",
        *,
        seeds: int = 5,
        zoo: bool = True,
        steps: Sequence[int] = (0, 30, 1000),
        scratch: float = 0.0,
    ) -> dict[str, Any]:
        """By ``apart`` upcycled experts are more alike, and more in order, than those from ``scratch``."""

        def points(level: float) -> list[dict[str, Any]]:
            return [
                {
                    "step": step,
                    **{
                        measured: {kind: (level + noise(size=8)).tolist() for kind in ("up", "act", "down")}
                        for measured in ("similarity", "order")
                    },
                }
                for step in steps
            ]

        def model(level: float) -> dict[str, Any]:
            own = level + float(noise(size=1)[0])
            return {"parameters": 700_000, "held_out_nats": 2.0 + float(noise(size=1)[0]), "points": points(own)}

        found = [{"seed": seed, "scratch": model(scratch), "upcycled": model(scratch + apart)} for seed in range(seeds)]
        recipe = {"family": "mixtral", "steps": 1000, "settings": {"num_hidden_layers": 8, "num_local_experts": 8}}
        pair = {
            "scratch": {"model": "tiny-scratch", "learning_rate": 4e-3, "seed": 0, "points": points(0.0)},
            "upcycled": {"model": "tiny-upcycled", "learning_rate": 1e-3, "seed": 1, "points": points(apart)},
        }
        return {
            "experiment": "training-scheme",
            "text": "a-text.gz",
            "recipes": {"moe": recipe},
            "seeds": found,
            "zoo": pair if zoo else None,
        }

    return make


@pytest.fixture(scope="session")
def made_up_routed() -> "Callable[..., RoutedMeasurement]":
    """(layers=8, sequences=12, tokens=20, experts=8, top_k=2, seed=0, **fields) → a measurement of noise.

    Router logits and norms are noise, the chosen experts follow the logits, similarities are level.
    Fields that are given replace what is made up, and ``chosen`` follows ``router_logits`` where it is not given.
    """

    import numpy as np

    from moe_claims.measure.measurement import RoutedMeasurement

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
def made_up_weights() -> "Callable[..., WeightMeasurement]":
    """(layers=8, experts=8, seed=0, **fields) → cosines of random rows, unrelated to each other, unless given.

    ``matrix`` and ``mean`` may be given in part: the roles that are left out are random.
    """

    import numpy as np

    from moe_claims.measure.measurement import WeightMeasurement

    def make(layers: int = 8, experts: int = 8, seed: int = 0, **fields: Any) -> WeightMeasurement:
        rng = np.random.default_rng(seed)

        def cosines() -> "np.ndarray[Any, Any]":
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


@pytest.fixture(scope="session")
def a_results_file() -> "Callable[..., dict[str, Any]]":
    """Makes a results document that follows the schema, of one model on one text unless told otherwise."""
    from moe_claims.packs.look_into_moes.pack import PACK
    from moe_claims.report import results
    from moe_claims.types import Interval, Result, Verdict

    def make(*rows: dict[str, Any], model: str = "a-model", **parts: Any) -> dict[str, Any]:
        """Each row names what is not as in the first lines below; ``parts`` take the place of whole parts."""
        settled = {
            "pack": "look_into_moes", "claim": "router-norm", "claim_version": 1, "variant": "total",
            "evidence": "live", "family": "headline", "model": model,
            "corpus": "builtin", "verdict": "replicated", "reason": "so it is", "effect_name": "mean Spearman ρ",
            "effect": 0.63, "interval": (0.60, 0.66), "smallest": 0.10, "p_value": 0.001, "p_adjusted": 0.002,
            "null": "labels permuted", "unit": "sequence", "n_units": 26,
        }  # fmt: skip
        made = []
        for changes in rows:
            row: dict[str, Any] = {**settled, **changes}
            ends, row["verdict"] = row["interval"], Verdict(row["verdict"])
            row["interval"] = None if ends is None else Interval(*ends, 0.95, "bootstrap over sequences")
            made.append(results.result_row(Result(**row)))
        card = {
            "name": model, "kind": "embedded", "hub_id": None, "revision_sha": None, "family": "mixtral",
            "moe_layers": 12, "total_layers": 12, "experts": 8, "top_k": 2, "hidden": 96, "intermediate": 96,
            "weights_sha256": "0" * 64, "note": None,
        }  # fmt: skip
        text = {
            "name": "builtin", "model": model, "text_sha256": "1" * 64, "token_ids_sha256": "2" * 64, "passages": 26,
            "sequences": 26, "tokens": 7174, "tokens_cut": 0, "nats_per_token": 4.03, "source": None,
            "revision_sha": None,
        }  # fmt: skip
        return results.document(
            **{
                "created": "2026-01-02T03:04:05+00:00",
                "environment": {"moe_claims": "0", "python": "3.11", "seed": 0},
                "packs": [PACK.described()],
                "models": [card],
                "corpora": [text],
                "results": made,
                "audits": [],
                "errors": [],
                "order": {},
                **parts,
            }
        )

    return make


@pytest.fixture(scope="session")
def made_row() -> Callable[..., dict[str, Any]]:
    """(**changes of a Result) → a row of ``results``."""
    return lambda **changes: results.result_row(Result(**(SETTLED | changes)))
