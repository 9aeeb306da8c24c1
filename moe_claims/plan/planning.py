"""``plan_of``: what a run would read, compute, keep and need, model by model and stage by stage."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from moe_claims._util.memory import resident_bytes
from moe_claims.errors import MoeClaimsError
from moe_claims.judge.pack import Pack
from moe_claims.measure.matching import layers_to_match
from moe_claims.measure.measurer import check_same_shape
from moe_claims.measure.store import Store
from moe_claims.models.device import device_of
from moe_claims.models.stored_sizes import files_of, stored_dtype
from moe_claims.plan.applicability import Foreseen, foreseen
from moe_claims.plan.clock import Clock, Reading, reading, seconds_of
from moe_claims.plan.keeping import Kept
from moe_claims.plan.of_model import Machine, OfModel
from moe_claims.plan.opening import Opened, Reference, Subject, open_all
from moe_claims.plan.stage import Stage, together
from moe_claims.plan.text_pass import TextPass
from moe_claims.plan.unmeasured import measured_of
from moe_claims.settings import Settings

_LIBRARIES = 340 * 2**20
"""Bytes that a run has beside this process: SciPy's statistics, matplotlib, and what both work on."""
_FIGURES = 3.0
_AUDITS = 12.0
_OPENING = 1.0
_PER_PAIR = 1.1e-3
"""Seconds of all tests of a pack of 31 claims per layer and pair of experts (E²), on the machine that follows; those of
``_FIGURES`` to draw a model's figures, of ``_AUDITS`` for audits and claims on published counts and trainings, and of
``_OPENING`` to open a model."""
_TRIAL = 0.010
"""Seconds of the trial of ``_slowness`` on the machine that the numbers above were taken on."""


@final
@dataclass(frozen=True)
class ModelPlan:
    """The plan for one model."""

    name: str
    error: str | None
    """Why it cannot be measured at all; then nothing else is known of it."""
    stages: tuple[Stage, ...] = ()
    claims: tuple[Foreseen, ...] = ()

    @property
    def whole(self) -> Stage:
        """All stages together."""
        return together(self.stages, "together")


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a run, and what was opened for it."""

    settings: Settings
    opened: Opened
    models: tuple[ModelPlan, ...]
    around: tuple[Stage, ...]
    """Stages of the run that belong to no model."""
    calibration: float
    """Seconds that the trials took."""

    @property
    def whole(self) -> Stage:
        """The whole run."""
        return together([*(stage for model in self.models for stage in model.stages), *self.around], "the whole run")


def plan_of(settings: Settings, packs: Sequence[Pack]) -> Plan:
    """Plans a run: opens its models and texts, and measures nothing.

    Args:
        settings: the run's options.
        packs: the packs that would be judged.

    Raises:
        UsageError: the device is not there.
    """
    import torch

    device = device_of(settings.device)
    opened = open_all(settings)
    began = time.perf_counter()
    slowness = _slowness()
    machine = Machine(
        settings,
        device,
        Kept(Store(settings.cache), device=device, dtype=settings.dtype),
        (resident_bytes() or 2**29) + _LIBRARIES,
        torch.get_num_threads(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )
    models = tuple(_model(name, found, opened, machine, packs, slowness) for name, found in opened.models.items())
    around = Stage("audits and other evidence", needs=machine.base, seconds=_AUDITS * slowness)
    return Plan(settings, opened, models, (around,), time.perf_counter() - began)


def _slowness() -> float:
    """How many times as long as where the constants were taken this machine needs for a piece of statistics."""
    rng = np.random.default_rng(0)
    square = rng.standard_normal((64, 64))

    def relabelled() -> float:
        total = 0.0
        for _ in range(400):
            order = rng.permutation(64)
            total += float((square[order][:, order] * square).sum())
        return total

    return seconds_of(relabelled) / _TRIAL


def _model(
    name: str,
    found: Subject | MoeClaimsError,
    opened: Opened,
    machine: Machine,
    packs: Sequence[Pack],
    slowness: float,
) -> ModelPlan:
    if isinstance(found, MoeClaimsError):
        return ModelPlan(name, str(found))
    try:
        stages = tuple(_stages(found, opened, machine, packs, slowness))
        claims = tuple(foreseen(packs, _expected(found, opened, machine)))
    except MoeClaimsError as error:
        return ModelPlan(name, str(error))
    return ModelPlan(name, None, stages, claims)


def _stages(
    subject: Subject, opened: Opened, machine: Machine, packs: Sequence[Pack], slowness: float
) -> Iterator[Stage]:
    settings = machine.settings
    files = _files(subject)
    fetched = settings.download and subject.sizes.kind == "network"
    yield Stage(
        "opened",
        reads=subject.sizes.whole if fetched else 0,
        source="the network" if fetched else "",
        needs=machine.base,
        seconds=_OPENING * slowness,
        note="all files are fetched first, as --moe-download asks; later stages read them from disk" if fetched else "",
    )
    clock = _clock(subject, machine)
    of = OfModel(subject, clock, files, machine)
    dense = _fitting(subject, opened.dense)
    yield of.hashed()
    yield of.weights()
    yield of.matching()
    yield of.against(opened.dense, hashed=False)
    for number, text in enumerate(settings.texts):
        yield TextPass(of).stage(text, dense, first=number == 0)
    yield from _second(subject, opened, machine)
    yield _control(subject, opened, machine, clock)
    yield Stage("figures", needs=machine.base, seconds=_FIGURES * slowness)
    claims = sum(len(pack.claims) for pack in packs)
    once = slowness * claims / 31 * (0.4 + _PER_PAIR * len(subject.layers) * subject.experts**2)
    yield Stage(
        "statistics",
        needs=machine.base,
        seconds=once * (1 + settings.controls) * (1 + 0.6 * (len(settings.texts) - 1)),
        note=f"{claims} claims",
    )


def _clock(subject: Subject, machine: Machine) -> Clock:
    return Clock(
        experts=subject.experts,
        neurons=subject.neurons,
        width=subject.width,
        top_k=subject.top_k,
        stored=stored_dtype(subject.model.checkpoint),
        dtype=machine.settings.dtype,
        device=machine.device,
    )


def _files(subject: Subject) -> Reading | None:
    """How fast a model's files come; None where they are not on a disk."""
    paths = [path for path in files_of(subject.model.checkpoint) if Path(path).is_file()]
    return reading(paths) if paths else None


def _fitting(subject: Subject, dense: Reference | MoeClaimsError | None) -> Reference | None:
    """The dense reference, if the run can run it beside the model."""
    found = isinstance(dense, Reference) and dense.model.fits(subject.model.checkpoint)
    return dense if found and isinstance(dense, Reference) else None


def _second(subject: Subject, opened: Opened, machine: Machine) -> Iterator[Stage]:
    """The stages of the second model, under one name."""
    second = opened.second
    if second is None:
        return
    if isinstance(second, MoeClaimsError):
        yield Stage("second model", needs=machine.base, note=f"not measured: {second}")
        return
    try:
        check_same_shape(subject.model, second.model)
    except MoeClaimsError as error:
        yield Stage("second model", needs=machine.base, note=f"not measured: {error}")
        return
    of = OfModel(second, _clock(second, machine), _files(second), machine)
    dense = _fitting(second, opened.dense)
    texts = machine.settings.texts
    yield together([of.hashed(), *(TextPass(of).stage(text, dense, first=True) for text in texts)], "second model")


def _control(subject: Subject, opened: Opened, machine: Machine, clock: Clock) -> Stage:
    """The same again of freshly initialised weights, which are generated and not read."""
    name, settings = "random-init control", machine.settings
    if not settings.controls:
        return Stage(name, needs=machine.base, note="not measured: --moe-profile quick")
    numbers = sum(subject.sizes.expert_numbers.values())
    if numbers > 100_000_000_000:
        return Stage(name, needs=machine.base, note="not measured: generating it would take hours")
    of = OfModel(subject, clock, None, machine, control=True)
    dense = _fitting(subject, opened.dense)
    whole = sum(subject.sizes.numbers.values()) + subject.sizes.outside_numbers
    made = Stage(name)
    if numbers <= 100_000_000:  # then it is made and hashed as a whole
        seconds = whole / clock.drawing + 4 * whole / clock.hashing
        made = Stage(name, needs=machine.base + 4 * whole, seconds=seconds)
    stages = [made, of.weights(), of.matching(), of.against(opened.dense, hashed=True)]
    stages += [TextPass(of).stage(text, dense, first=number == 0) for number, text in enumerate(settings.texts)]
    found = together(stages, name)
    # Why a part is not measured stands beside that of the model itself.
    return Stage(
        name, found.reads, found.source, found.operations, found.keeps, found.needs, found.seconds,
        "weights are generated; what is there already is not known before",
    )  # fmt: skip


def _expected(subject: Subject, opened: Opened, machine: Machine) -> Any:
    """What estimators will be handed, without numbers."""
    matching: tuple[int, ...] | MoeClaimsError
    try:
        matching = layers_to_match(subject.model.checkpoint, machine.settings.layers)
    except MoeClaimsError as error:
        matching = error
    dense: bool | MoeClaimsError | None = None
    if isinstance(opened.dense, MoeClaimsError):
        dense = opened.dense
    elif opened.dense is not None:
        dense = _verdict(opened.dense.model.check_fits, subject.model.checkpoint)
    second: bool | MoeClaimsError | None = None
    if isinstance(opened.second, MoeClaimsError):
        second = opened.second
    elif opened.second is not None:
        second = _verdict(check_same_shape, subject.model, opened.second.model)
    return measured_of(subject, matching=matching, dense=dense, second=second)


def _verdict(check: Any, *given: Any) -> bool | MoeClaimsError:
    try:
        check(*given)
    except MoeClaimsError as error:
        return error
    return True
