"""Calibration: how often each claim is replicated on models where it is true or false by construction.

Every seed is a model of its own, measured and judged exactly as a user's model is,
correction for multiple testing included.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from moe_claims import __version__
from moe_claims.analysis.claim import key_of
from moe_claims.analysis.registry import LIVE
from moe_claims.errors import UsageError
from moe_claims.progress import track
from moe_claims.stats.proportions import clopper_pearson
from moe_claims.types import Verdict

ALPHA = 0.05


@final
@dataclass(frozen=True)
class Kind:
    """A kind of synthetic model, and the claims that are true or false of it by construction."""

    title: str
    name: str
    """Model name; the seed is put in."""
    truth: bool | None
    """Whether the claims hold; None for the random-initialisation control, of which nothing is asserted."""
    claims: tuple[str, ...]


_ALL = tuple(LIVE)

KINDS = (
    Kind("planted", "synthetic:planted?seed={seed}", True, _ALL),
    Kind("null: router apart, static patterns, smooth depth", "synthetic:null?seed={seed}", False, _ALL),
    Kind("null: all three matrices alike", "synthetic:null?seed={seed}&pattern=equal", False, ("neuron-experts",)),
    Kind("random initialisation", "synthetic:random-init?seed={seed}", None, _ALL),
)
"""The awkward nulls are among them: an expert that is always large and one that is always
chosen, unrelated; curves that wander smoothly over depth without a trend; and a router
that follows all three matrices alike."""


def trial(kind: int, seed: int) -> dict[str, Any]:
    """Measures and judges one synthetic model on the embedded prose; the row of the log."""
    import torch

    from moe_claims import texts
    from moe_claims.analysis.evaluate import evaluate
    from moe_claims.analysis.measured import Measured
    from moe_claims.measure.routed import measure_routed
    from moe_claims.measure.weights import measure_weights
    from moe_claims.models.forward import LayerwiseModel
    from moe_claims.models.loading import open_model
    from moe_claims.models.names import resolve
    from moe_claims.progress import set_quiet

    set_quiet(True)
    torch.set_num_threads(1)  # the trials run side by side
    model = open_model(resolve(KINDS[kind].name.format(seed=seed)))
    sequences = texts.tokenize(texts.load("builtin"), model.encoder(), limit=None, longest=model.context)
    measured = Measured(
        measure_weights(model.checkpoint), measure_routed(LayerwiseModel(model.checkpoint), sequences.ids)
    )
    judged = evaluate(model.ref.name, None, {"builtin": measured}, None, seed=seed, alpha=ALPHA)
    rows = {
        key_of(result.claim, result.variant): {
            "verdict": result.verdict.value,
            "effect": result.effect,
            "p_value": result.p_value,
        }
        for result in judged.results
        if result.claim in KINDS[kind].claims
    }
    return {"kind": KINDS[kind].name, "seed": seed, "version": __version__, "claims": rows}


def run(*, seeds: int, workers: int, log: Path) -> str:
    """Runs what the log lacks, and summarises it.

    Args:
        seeds: models of each kind.
        workers: processes.
        log: JSON lines, one per model; an interrupted calibration goes on from it.

    Returns:
        Markdown.

    Raises:
        UsageError: the log was made by another version.
    """
    done = {(row["kind"], row["seed"]): row for row in _read(log)}
    wanted = [(number, seed) for number in range(len(KINDS)) for seed in range(seeds)]
    missing = [(number, seed) for number, seed in wanted if (KINDS[number].name, seed) not in done]
    with log.open("a", encoding="utf-8") as file:
        for row in track(_trials(missing, workers), "calibrating", unit="models", total=len(missing)):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done[row["kind"], row["seed"]] = row
    rows = [done[KINDS[number].name, seed] for number, seed in wanted]
    return summary(rows, seeds)


def _trials(missing: Sequence[tuple[int, int]], workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1 or len(missing) < 2:
        for kind, seed in missing:
            yield trial(kind, seed)
        return
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(trial, kind, seed) for kind, seed in missing]):
            yield future.result()


def _read(log: Path) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row["version"] != __version__:
            raise UsageError(f"'{log}' was made by version {row['version']}: give another --log, or delete it")
    return rows


@final
@dataclass(frozen=True)
class Rate:
    """How often something came out."""

    hits: int
    trials: int

    @property
    def share(self) -> float:
        return self.hits / self.trials

    def text(self) -> str:
        """Such as '97.5 % (94.3 to 99.2)', with the exact 95 % interval."""
        interval = clopper_pearson(self.hits, self.trials)
        return f"{100 * self.share:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def rates(rows: Iterable[dict[str, Any]], key: str) -> tuple[Rate, Rate]:
    """Of one claim: how often it was replicated, and how often its uncorrected p was at most 0.05."""
    found = [row["claims"][key] for row in rows]
    replicated = sum(row["verdict"] == Verdict.REPLICATED for row in found)
    small = sum(row["p_value"] is not None and row["p_value"] <= ALPHA for row in found)
    return Rate(replicated, len(found)), Rate(small, len(found))


def acceptable(kind: Kind, replicated: Rate) -> bool:
    """Whether a rate is what the construction asks for.

    Planted: at least 95 % replicated. Null: the exact 95 % upper bound is no higher than
    that of exactly 5 % of the seeds, which is all that this many seeds can resolve.
    """
    if kind.truth is None:
        return True
    if kind.truth:
        return replicated.share >= 0.95
    just = clopper_pearson(math.ceil(ALPHA * replicated.trials), replicated.trials)
    return clopper_pearson(replicated.hits, replicated.trials).high <= just.high


def summary(rows: Sequence[dict[str, Any]], seeds: int) -> str:
    """The calibration as Markdown: one table per kind of model."""
    from importlib.metadata import version

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy", "scipy"))
    parts = [
        "# Calibration",
        "Each row is a claim (and variant), each table a kind of synthetic model. *Replicated* is the share of seeds "
        "with that verdict, judged as any model is, correction for multiple testing included; *p ≤ 0.05* is the share "
        "with a raw p-value that small, before any correction and whatever the size of the effect. In brackets the "
        "exact (Clopper–Pearson) 95 % interval. Planted models should be replicated in at least 95 % of seeds, null "
        "models in at most 5 %; of random initialisation nothing is asserted: a claim replicated there would be an "
        "artefact of the architecture.",
        f"Made by `python -m moe_claims calibrate --seeds {seeds} --output docs/calibration.md` with "
        f"moe_claims {__version__}, {versions}.",
    ]
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind.name]
        lines = ["| claim | replicated | p ≤ 0.05 | as it should be |", "|---|---|---|---|"]
        for claim in kind.claims:
            for key in LIVE[claim].row_keys():
                replicated, small = rates(of_kind, key)
                fine = "–" if kind.truth is None else "yes" if acceptable(kind, replicated) else "**NO**"
                lines.append(f"| {key} | {replicated.text()} | {small.text()} | {fine} |")
        name = kind.name.format(seed="N")
        parts.append(
            f"## {kind.title[0].upper()}{kind.title[1:]}\n\n`{name}`, {len(of_kind)} seeds\n\n" + "\n".join(lines)
        )
    return "\n\n".join(parts) + "\n"
