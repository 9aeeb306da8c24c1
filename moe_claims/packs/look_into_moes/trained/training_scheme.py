"""Claim that experts copied from a dense model stay alike, and experts from scratch do not (paper, 4.1.1, 4.1.2)."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np

from moe_claims.judge.claim import Claim, Estimand, Printed
from moe_claims.judge.pack import as_published
from moe_claims.packs.look_into_moes.audits.rounding import Paper
from moe_claims.packs.look_into_moes.paper import published
from moe_claims.packs.look_into_moes.trained.results import MATRICES
from moe_claims.packs.look_into_moes.trained.seeds import Document, PrintedBeside, over_seeds
from moe_claims.stats.permutation import Floats
from moe_claims.stats.student import student
from moe_claims.types import Finding, Scalar

_SCHEMES = ("upcycled", "scratch")
UNLIKE = 0.05
"""Bound of equivalence to 0 for cosines and τ, as in ``expert-similarity-level`` and ``neuron-order``."""


def stay_alike(variant: str, document: Document) -> Finding:
    """Difference between upcycled models and models from scratch at the end of training.

    Variant ``similarity`` is about matrix-level cosines, ``order`` about Kendall's τ of matched neurons.
    The two MoEs of a seed see the same text in the same order, so the difference is taken within
    the seed. The claim falls short unless experts from scratch are equivalent to unlike ones: the 90 %
    interval of their mean lies within ±0.05. The values of the two embedded models at the same points are in the
    details, without inference, since they are one training each.

    Raises:
        NotMeasuredError: too few seeds.
    """
    seeds = document["seeds"]
    steps = [point["step"] for point in seeds[0]["scratch"]["points"]]
    mean = {scheme: np.stack([_course(seed[scheme]["points"], variant) for seed in seeds]) for scheme in _SCHEMES}
    by_seed = {scheme: values.mean(axis=-1) for scheme, values in mean.items()}  # (seeds, points)
    details: dict[str, Scalar] = {}
    for scheme in _SCHEMES:
        for kind, value in zip(MATRICES, mean[scheme][:, -1].mean(axis=0), strict=True):
            details[f"{scheme} {kind}"] = float(value)
        for step, value in zip(steps, by_seed[scheme].mean(axis=0), strict=True):
            details[f"{scheme} step {step}"] = float(value)
        details[f"{scheme} held_out_nats"] = float(np.mean([seed[scheme]["held_out_nats"] for seed in seeds]))
    start, end = (float(by_seed["upcycled"][:, at].mean()) for at in (0, -1))
    details["upcycled left of the start"] = end / start if start > 0 else None
    details["parameters"] = seeds[0]["scratch"]["parameters"]
    details["steps"] = steps[-1]
    details |= _embedded(document.get("zoo"), variant)
    found = over_seeds(by_seed["upcycled"][:, -1] - by_seed["scratch"][:, -1], +1, details)
    return replace(found, falls_short=_alike(by_seed["scratch"][:, -1]))


def _alike(scratch: Floats) -> str | None:
    """The reason why the claim falls short, if experts from scratch are not equivalent to unlike ones; else None."""
    interval = student(scratch).interval(0.90, "seeds")
    if interval.inside(UNLIKE):
        return None
    return (
        f"experts from scratch are not shown to be unlike: {scratch.mean():.2f}, 90 % interval "
        f"[{interval.low:.2f}, {interval.high:.2f}]"
    )


def _course(points: list[Mapping[str, Any]], variant: str) -> Floats:
    """(points, 3) mean over layers at every point along training, by matrix."""
    return np.array([[np.mean(point[variant][kind]) for kind in MATRICES] for point in points])


def _embedded(zoo: Mapping[str, Any] | None, variant: str) -> dict[str, Scalar]:
    """Details on the two embedded models: their values along training, and their difference at the end."""
    if zoo is None:
        return {}
    found: dict[str, Scalar] = {}
    ends = {}
    for scheme in _SCHEMES:
        course = _course(zoo[scheme]["points"], variant).mean(axis=-1)
        ends[scheme] = float(course[-1])
        for point, value in zip(zoo[scheme]["points"], course, strict=True):
            found[f"embedded {zoo[scheme]['model']} step {point['step']}"] = float(value)
    rates, seeds = ([zoo[scheme][key] for scheme in _SCHEMES] for key in ("learning_rate", "seed"))
    found["embedded pair upcycled − scratch"] = ends["upcycled"] - ends["scratch"]
    found["embedded pair differs too in"] = (
        f"peak learning rate ({rates[0]:g} against {rates[1]:g}) and seed ({seeds[0]} against {seeds[1]})"
    )
    return found


_UPCYCLED, _SCRATCH = "mixtral-8x7b", ("deepseek-moe-16b", "grok-1")
"""The paper's models by training scheme, which it infers from the similarity of experts (sections 4.1.1, 4.1.2)."""


def printed_scheme(variant: str, facts: Paper | None = None) -> PrintedBeside:
    """The difference between the paper's models that were upcycled and those that were trained from scratch."""
    facts = published() if facts is None else facts
    if variant == "similarity":
        said = facts["text_values"]["matrix_similarity"]
        upcycled, where = said[_UPCYCLED]["mean_about"], "section 4.1.1"
        scratch = [said[model]["expert_expert_about"] for model in _SCRATCH]
    else:
        table = facts["table2_reordering"]
        upcycled, where = table[_UPCYCLED]["kendall_tau_mean"], "Table 2"
        scratch = [table[model]["kendall_tau_mean"] for model in _SCRATCH]
    names = facts["models"]
    note = (
        f"{names[_UPCYCLED]['paper_name']} less the mean of "
        f"{' and '.join(names[model]['paper_name'] for model in _SCRATCH)}: finished models that differ in much else"
    )
    return PrintedBeside(as_published(Printed(upcycled - mean(scratch), where, note), _UPCYCLED, "holds"))


TRAINING_SCHEME = Claim(
    id="training-scheme",
    statement="Experts upcycled from a dense model stay alike and keep their neurons' order; experts trained from "
    "scratch do neither.",
    section="4.1.1 and 4.1.2, Figure 1 and Table 2",
    family="trained",
    needs="trainings",
    effect="mean matrix-level cosine of two experts at the end of training, upcycled − from scratch",
    # The lower end of the 0.2 to 0.4 that the paper gives for Mixtral, against about 0 from scratch.
    smallest=0.2,
    estimands={
        "order": Estimand(
            effect="mean Kendall τ of the matched neurons at the end of training, upcycled − from scratch",
            smallest=0.375,  # half of the 0.75 that the paper prints for Mixtral, against about 0 from scratch
        ),
    },
    null="no difference on average: Student t over seeds",
    unit="seed",
    estimator=stay_alike,
    variants=("similarity", "order"),
    applies="the trainings of the training-scheme experiment, 3 seeds or more (--moe-experiments)",
)
