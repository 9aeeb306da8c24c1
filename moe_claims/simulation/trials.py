"""Runs many synthetic models, each measured and judged exactly like a user's model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from moe_claims import __version__
from moe_claims._util.progress import track
from moe_claims.errors import UsageError
from moe_claims.packs.look_into_moes.pack import LIVE, PACK

ALPHA = 0.05
ONE_TEXT = ("builtin",)
THREE_TEXTS = ("builtin", "builtin-math", "builtin-code")

Row = dict[str, Any]


@final
@dataclass(frozen=True)
class Setup:
    """A kind of synthetic model and the models and texts that it is compared with.

    Names are templates: ``{seed}`` is replaced by the seed of the model, ``{other}`` by a seed that no model of the
    kind has.
    """

    model: str
    dense: str | None = None
    second: str | None = None
    texts: tuple[str, ...] = ONE_TEXT
    claims: tuple[str, ...] = tuple(LIVE)
    """Claims that are analysed; the correction for multiple testing is over these only."""

    @property
    def name(self) -> str:
        """Name of the setup in a log; different setups have different names."""
        claims = "all" if self.claims == tuple(LIVE) else ",".join(self.claims)
        return " | ".join((self.model, self.dense or "-", self.second or "-", ",".join(self.texts), claims))


def claims_asked(keys: Sequence[str] | None) -> tuple[str, ...]:
    """The claims with these names, in the order of the pack; for None, all that are tested on synthetic models.

    Raises:
        UsageError: one is no such claim.
    """
    from moe_claims.judge.registry import resolve

    asked = {resolve(key, [PACK]) for key in keys or LIVE}
    if others := sorted(pack.key(claim) for pack, claim in asked if pack is not PACK or claim not in LIVE):
        raise UsageError(f"--claim {others[0]}: no synthetic models are made for it")
    return tuple(claim for claim in LIVE if (PACK, claim) in asked)


def trial(setup: Setup, seed: int) -> Row:
    """Measures and judges one synthetic model, and returns its row of the log.

    Raises:
        MoeClaimsError: the model could not be measured or a claim failed with an error.
    """
    import torch

    from moe_claims._util.progress import set_quiet
    from moe_claims.judge.evaluate import corrected, judge
    from moe_claims.judge.trial import try_all
    from moe_claims.measure.measurer import Measurer
    from moe_claims.measure.store import Forgetful
    from moe_claims.models.loading import open_model
    from moe_claims.settings import settings_from

    set_quiet(True)
    torch.set_num_threads(1)  # trials run in parallel processes
    names = {
        field: name and name.format(seed=seed, other=seed + 1_000_000)
        for field, name in (("model", setup.model), ("dense-reference", setup.dense), ("second-model", setup.second))
    }
    settings = settings_from({**names, "model": [names["model"]], "text": list(setup.texts), "device": "cpu"})
    measured, _ = Measurer(settings, Forgetful()).measure(open_model(settings.models[0]))
    tried = try_all(PACK, measured, seed, [LIVE[claim] for claim in setup.claims])
    p_values = corrected(tried, ALPHA)
    rows = {}
    for one, decision, p in zip(tried, judge(tried, p_values, PACK), p_values, strict=True):
        if decision is None:
            raise UsageError(f"{names['model']}, {one.key}: {one.outcome}")
        finding = one.finding
        if one.corpus in (None, setup.texts[0]):
            rows[one.key] = {
                "verdict": decision.verdict.value,
                "effect": None if finding is None else finding.effect,
                "p_value": None if finding is None else finding.p_value,
                "p_adjusted": None if p is None else p.towards,
            }
    return {"setup": setup.name, "seed": seed, "version": __version__, "claims": rows}


def run(setups: Sequence[Setup], seeds: int, *, workers: int, log: Path, label: str) -> Mapping[str, list[Row]]:
    """Runs the models that are missing in the log.

    Args:
        setups: kinds of models.
        seeds: number of models of each kind.
        workers: number of processes.
        log: file of JSON lines, one per model; an interrupted run resumes from it.
        label: description, for the progress bar.

    Returns:
        Name of a setup → its rows in the order of seeds.

    Raises:
        UsageError: the log was written by another version.
    """
    done = {(row["setup"], row["seed"]): row for row in _read(log)}
    missing = [(setup, seed) for seed in range(seeds) for setup in setups if (setup.name, seed) not in done]
    with log.open("a", encoding="utf-8") as file:
        for row in track(_trials(missing, workers), label, unit="models", total=len(missing)):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done[row["setup"], row["seed"]] = row
    return {setup.name: [done[setup.name, seed] for seed in range(seeds)] for setup in setups}


def _trials(missing: Sequence[tuple[Setup, int]], workers: int) -> Iterator[Row]:
    if workers == 1 or len(missing) < 2:
        for setup, seed in missing:
            yield trial(setup, seed)
        return
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(trial, setup, seed) for setup, seed in missing]):
            yield future.result()


def _read(log: Path) -> list[Row]:
    if not log.exists():
        return []
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row["version"] != __version__:
            raise UsageError(f"'{log}' was made by version {row['version']}: give another --log, or delete it")
    return rows
