"""Calibration: how often each claim is replicated on models where it is true or false by construction."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from moe_claims import __version__
from moe_claims.packs.look_into_moes.pack import LIVE
from moe_claims.simulation.trials import ALPHA, THREE_TEXTS, Row, Setup, run
from moe_claims.stats.proportions import clopper_pearson
from moe_claims.types import Verdict


@final
@dataclass(frozen=True)
class Kind:
    """A kind of synthetic model, and whether claims are true of it by construction."""

    title: str
    setup: Setup
    truth: bool | None
    """Whether the claims hold; None for the random-initialisation control, for which this is not known."""
    claims: tuple[str, ...]
    """The claims that ``truth`` is about, among those analysed."""


def _without(*left_out: str) -> tuple[str, ...]:
    return tuple(claim for claim in LIVE if claim not in left_out)


def _few(title: str, truth: bool | None, claims: tuple[str, ...], model: str, **setup: Any) -> Kind:
    """A kind on which only a few claims are analysed."""
    return Kind(title, Setup(model, claims=claims, **setup), truth, claims)


_PLANTED = ("synthetic:planted?seed={seed}", "synthetic:dense?seed={seed}", "synthetic:planted?seed={seed}&noise=0.1")
_NULL = ("synthetic:null?seed={seed}", "synthetic:dense?seed={seed}&of=null", "synthetic:null?seed={other}")
_FRESH = ("synthetic:random-init?seed={seed}", _NULL[1], "synthetic:random-init?seed={other}")
EXTREMES, UPCYCLED, TEXTS = ("router-norm-extremes",), ("dense-reference", "pca-clusters"), ("corpus-robust",)
"""Claims that need special planted models or texts."""
_SHARED = ("expert-similarity-level", "neuron-order", "same-index-neurons")
"""Claims that are true of all models whose experts share weights neuron by neuron, such as those of the smooth null."""
_UP = "&pattern=upcycled"

KINDS = (
    Kind("planted", Setup(*_PLANTED), True, _without(*EXTREMES, *UPCYCLED, *TEXTS)),
    _few("planted: only the largest norms", True, EXTREMES, _PLANTED[0] + "&pattern=extremes"),
    _few("planted: experts near the dense model", True, UPCYCLED, _PLANTED[0] + _UP, dense=_PLANTED[1] + _UP),
    _few("planted, on three texts", True, TEXTS, _PLANTED[0], texts=THREE_TEXTS),
    Kind(
        "null: router apart, static patterns, smooth depth",
        Setup(*_NULL, claims=_without(*_SHARED)),
        False,
        _without(*_SHARED, *TEXTS),
    ),
    _few("null: experts share nothing", False, _SHARED, _NULL[0] + "&pattern=apart"),
    _few("null: all three matrices alike", False, ("neuron-experts",), _NULL[0] + "&pattern=equal"),
    _few(
        "null: an expert stands apart, and is chosen as others are",
        False,
        ("special-expert-chosen-less",),
        _NULL[0] + "&pattern=special",
    ),
    _few("null, on three texts", False, TEXTS, _NULL[0], texts=THREE_TEXTS),
    Kind("random initialisation", Setup(*_FRESH), None, _without(*TEXTS)),
    _few("random initialisation, on three texts", None, TEXTS, _FRESH[0], texts=THREE_TEXTS),
)
"""All kinds of models, including difficult nulls: one expert always large and another always
chosen, independently; curves that vary smoothly over depth without a trend; a router that
follows all three matrices equally; a dense model that is one more expert."""


def calibrate(*, seeds: int, workers: int, log: Path, claims: Sequence[str] = tuple(LIVE)) -> str:
    """Runs the models that are missing in the log, and returns a summary as Markdown.

    Args:
        seeds: number of models of each kind; a quarter as many for the random-initialisation control.
        workers: number of processes.
        log: file of JSON lines, one per model; an interrupted calibration resumes from it.
        claims: the claims that are asked about. Only kinds that are about one of them are run, each with all of its
            claims, so that the correction and the log are those of the whole calibration.

    Raises:
        UsageError: the log was written by another version.
    """
    kinds = [kind for kind in KINDS if set(kind.claims) & set(claims)]
    asserted = [kind.setup for kind in kinds if kind.truth is not None]
    fresh = [kind.setup for kind in kinds if kind.truth is None]
    rows = dict(run(asserted, seeds, workers=workers, log=log, label="calibrating"))
    rows |= run(fresh, -(-seeds // 4), workers=workers, log=log, label="random initialisation")
    return summary(rows, seeds, claims)


@final
@dataclass(frozen=True)
class Rate:
    """The frequency of an outcome."""

    hits: int
    trials: int

    @property
    def share(self) -> float:
        """``hits`` over ``trials``."""
        return self.hits / self.trials

    def text(self) -> str:
        """The share with its exact 95 % interval, such as ``97.5 % (94.3 to 99.2)``."""
        interval = clopper_pearson(self.hits, self.trials)
        return f"{100 * self.share:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


@final
@dataclass(frozen=True)
class Rates:
    """Frequencies of outcomes of one claim on one kind of model."""

    replicated: Rate
    """Verdict ``replicated``."""
    small: Rate
    """Uncorrected p of at most 0.05, among the models to which the claim applies."""
    applicable: Rate
    """Models to which the claim applies."""


def rates(rows: Iterable[Row], key: str) -> Rates:
    """Frequencies of one claim and variant.

    Args:
        rows: rows of the log.
        key: ``claim[variant]``.
    """
    found = [row["claims"][key] for row in rows]
    applicable = [row for row in found if row["verdict"] != Verdict.NOT_APPLICABLE]
    replicated = sum(row["verdict"] == Verdict.REPLICATED for row in found)
    small = sum(row["p_value"] is not None and row["p_value"] <= ALPHA for row in applicable)
    count = len(found)
    return Rates(Rate(replicated, count), Rate(small, len(applicable)), Rate(len(applicable), count))


def acceptable(kind: Kind, replicated: Rate) -> bool:
    """Whether a rate of replication fits the construction of the models.

    Planted: at least 95 % replicated. Null: the exact 95 % upper bound is no higher than
    that of a rate of exactly 5 %, which is what this number of seeds can resolve.
    """
    if kind.truth is None:
        return True
    if kind.truth:
        return replicated.share >= 0.95
    just = clopper_pearson(math.ceil(ALPHA * replicated.trials), replicated.trials)
    return clopper_pearson(replicated.hits, replicated.trials).high <= just.high


def summary(rows: Mapping[str, Sequence[Row]], seeds: int, claims: Sequence[str] = tuple(LIVE)) -> str:
    """The calibration of some claims as Markdown: one table per kind of model that is about one of them."""
    from importlib.metadata import version

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy", "scipy"))
    parts = [
        "# Calibration",
        "Each row is a claim (and variant), each table a kind of synthetic model. *Replicated* is the share of seeds "
        "with that verdict, judged as any model is, correction for multiple testing over all claims included (over "
        "those of the table alone in tables of less than ten claims, which is more lenient); *p ≤ 0.05* is the share "
        "with a raw p-value that small, before any correction and whatever the size of the effect, among the models "
        "that the claim applies to. In brackets the exact (Clopper–Pearson) 95 % interval. Planted models should be "
        "replicated in at least 95 % of seeds, null models in at most 5 %; of random initialisation nothing is "
        "asserted: a claim replicated there is an artefact of the architecture, and marked so here and in every "
        "report.",
        f"Made by `python -m moe_claims calibrate --seeds {seeds}{asked_for(claims)} --output docs/calibration.md` "
        f"with moe_claims {__version__}, {versions}.",
        *(_table(kind, rows[kind.setup.name], claims) for kind in KINDS if set(kind.claims) & set(claims)),
    ]
    return "\n\n".join(parts) + "\n"


def asked_for(claims: Sequence[str]) -> str:
    """The options of a command that choose these claims; empty for all of them."""
    return "" if tuple(claims) == tuple(LIVE) else "".join(f" --claim {claim}" for claim in claims)


def _table(kind: Kind, rows: Sequence[Row], claims: Sequence[str]) -> str:
    lines = ["| claim | replicated | p ≤ 0.05 | applies | as it should be |", "|---|---|---|---|---|"]
    for claim in (claim for claim in kind.claims if claim in claims):
        for key in LIVE[claim].row_keys():
            found = rates(rows, key)
            small = found.small.text() if found.small.trials else "–"
            applies = f"{100 * found.applicable.share:.0f} %"
            lines.append(f"| {key} | {found.replicated.text()} | {small} | {applies} | {_fine(kind, found)} |")
    setup, title = kind.setup, kind.title[0].upper() + kind.title[1:]
    told = f"`{setup.model}`"
    told += f", dense reference `{setup.dense}`" if setup.dense else ""
    told += f", second model `{setup.second}`" if setup.second else ""
    told = told.replace("{seed}", "N").replace("{other}", "M")
    return f"## {title}\n\n{told}, {len(rows)} seeds, {' and '.join(setup.texts)}\n\n" + "\n".join(lines)


def _fine(kind: Kind, found: Rates) -> str:
    if kind.truth is None:
        return "**artefact**" if found.replicated.share > ALPHA else "–"
    return "yes" if acceptable(kind, found.replicated) else "**NO**"
