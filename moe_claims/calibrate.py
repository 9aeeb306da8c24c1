"""Calibration: how often each claim is replicated on models where it is true or false by construction."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from moe_claims import __version__
from moe_claims.analysis.registry import LIVE
from moe_claims.stats.proportions import clopper_pearson
from moe_claims.trials import ALPHA, THREE_TEXTS, Row, Setup, run
from moe_claims.types import Verdict


@final
@dataclass(frozen=True)
class Kind:
    """A kind of synthetic model, and the claims that are true or false of it by construction."""

    title: str
    setup: Setup
    truth: bool | None
    """Whether the claims hold; None for the random-initialisation control, of which nothing is asserted."""
    claims: tuple[str, ...]


def _without(*left_out: str) -> tuple[str, ...]:
    return tuple(claim for claim in LIVE if claim not in left_out)


_PLANTED = ("synthetic:planted?seed={seed}", "synthetic:dense?seed={seed}", "synthetic:planted?seed={seed}&noise=0.1")
_NULL = ("synthetic:null?seed={seed}", "synthetic:dense?seed={seed}&of=null", "synthetic:null?seed={other}")
_FRESH = (
    "synthetic:random-init?seed={seed}",
    "synthetic:dense?seed={seed}&of=null",
    "synthetic:random-init?seed={other}",
)
_SHARED = ("expert-similarity-level", "neuron-order", "same-index-neurons")
"""True of every model whose experts share weights neuron by neuron, as the smooth null's do."""
_TEXTS = ("corpus-robust",)


def _null(pattern: str) -> Setup:
    model, dense, second = _NULL
    return Setup(f"{model}&pattern={pattern}", f"{dense}&pattern={pattern}", f"{second}&pattern={pattern}")


KINDS = (
    Kind("planted", Setup(*_PLANTED), True, _without("router-norm-extremes", *_TEXTS)),
    Kind(
        "planted: only the largest norms",
        Setup("synthetic:planted?seed={seed}&pattern=extremes", *_PLANTED[1:]),
        True,
        ("router-norm-extremes",),
    ),
    Kind("planted, on three texts", Setup(*_PLANTED, THREE_TEXTS), True, _TEXTS),
    Kind("null: router apart, static patterns, smooth depth", Setup(*_NULL), False, _without(*_SHARED, *_TEXTS)),
    Kind("null: experts share nothing", _null("apart"), False, _SHARED),
    Kind("null: all three matrices alike", _null("equal"), False, ("neuron-experts",)),
    Kind("null: an expert stands apart, and is chosen as others are", _null("special"), False,
         ("special-expert-chosen-less",)),
    Kind("null, on three texts", Setup(*_NULL, THREE_TEXTS), False, _TEXTS),
    Kind("random initialisation", Setup(*_FRESH), None, _without(*_TEXTS)),
    Kind("random initialisation, on three texts", Setup(*_FRESH, THREE_TEXTS), None, _TEXTS),
)  # fmt: skip
"""The awkward nulls are among them: an expert that is always large and one that is always
chosen, unrelated; curves that wander smoothly over depth without a trend; a router that
follows all three matrices alike; a dense model that is one more expert."""


def calibrate(*, seeds: int, workers: int, log: Path) -> str:
    """Runs what the log lacks, and summarises it as Markdown.

    Args:
        seeds: models of each kind.
        workers: processes.
        log: JSON lines, one per model; an interrupted calibration goes on from it.

    Raises:
        UsageError: the log was made by another version.
    """
    rows = run([kind.setup for kind in KINDS], seeds, workers=workers, log=log, label="calibrating")
    return summary(rows, seeds)


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


@final
@dataclass(frozen=True)
class Rates:
    """What came out for one claim on one kind of model."""

    replicated: Rate
    small: Rate
    """Uncorrected p of at most 0.05, among the models to which the claim applies."""
    applicable: Rate


def rates(rows: Iterable[Row], key: str) -> Rates:
    """Of one claim and variant."""
    found = [row["claims"][key] for row in rows]
    applicable = [row for row in found if row["verdict"] != Verdict.NOT_APPLICABLE]
    replicated = sum(row["verdict"] == Verdict.REPLICATED for row in found)
    small = sum(row["p_value"] is not None and row["p_value"] <= ALPHA for row in applicable)
    count = len(found)
    return Rates(Rate(replicated, count), Rate(small, len(applicable)), Rate(len(applicable), count))


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


def summary(rows: Mapping[str, Sequence[Row]], seeds: int) -> str:
    """The calibration as Markdown: one table per kind of model."""
    from importlib.metadata import version

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy", "scipy"))
    parts = [
        "# Calibration",
        "Each row is a claim (and variant), each table a kind of synthetic model. *Replicated* is the share of seeds "
        "with that verdict, judged as any model is, correction for multiple testing included; *p ≤ 0.05* is the share "
        "with a raw p-value that small, before any correction and whatever the size of the effect, among the models "
        "that the claim applies to. In brackets the exact (Clopper–Pearson) 95 % interval. Planted models should be "
        "replicated in at least 95 % of seeds, null models in at most 5 %; of random initialisation nothing is "
        "asserted: a claim replicated there is an artefact of the architecture, and marked so here and in every "
        "report.",
        f"Made by `python -m moe_claims calibrate --seeds {seeds} --output docs/calibration.md` with "
        f"moe_claims {__version__}, {versions}.",
        *(_table(kind, rows[kind.setup.name]) for kind in KINDS),
    ]
    return "\n\n".join(parts) + "\n"


def _table(kind: Kind, rows: Sequence[Row]) -> str:
    lines = ["| claim | replicated | p ≤ 0.05 | applies | as it should be |", "|---|---|---|---|---|"]
    for claim in kind.claims:
        for key in LIVE[claim].row_keys():
            found = rates(rows, key)
            small = found.small.text() if found.small.trials else "–"
            applies = f"{100 * found.applicable.share:.0f} %"
            lines.append(f"| {key} | {found.replicated.text()} | {small} | {applies} | {_fine(kind, found)} |")
    setup, title = kind.setup, kind.title[0].upper() + kind.title[1:]
    told = f"`{setup.model}`, dense reference `{setup.dense}`, second model `{setup.second}`"
    told = told.replace("{seed}", "N").replace("{other}", "M")
    return f"## {title}\n\n{told}, {len(rows)} seeds, {' and '.join(setup.texts)}\n\n" + "\n".join(lines)


def _fine(kind: Kind, found: Rates) -> str:
    if kind.truth is None:
        return "**artefact**" if found.replicated.share > ALPHA else "–"
    return "yes" if acceptable(kind, found.replicated) else "**NO**"
