"""A plan as text for a terminal."""

import textwrap
from collections.abc import Iterable, Sequence

from moe_claims.measure.matching_cost import span
from moe_claims.plan.applicability import Foreseen
from moe_claims.plan.planning import ModelPlan, Plan
from moe_claims.plan.stage import Stage
from moe_claims.printable import one_line

_HEAD = ("stage", "reads", "computes", "keeps", "memory", "about")
_TABLE = 80
"""Columns that the table takes; a narrower terminal gets lines of text."""
_OUTCOMES = ("not applicable", "not measured")


def render(plan: Plan, *, width: int = 100) -> str:
    """The plan, model by model, no line longer than ``width`` columns where words allow."""
    lines = []
    for model in plan.models:
        lines += [*_model(model, width), ""]
    whole = plan.whole
    if len(plan.models) != 1 or not plan.models[0].error:
        lines += _stages([*plan.around, whole], width)
    free = f"Nothing was measured. Trials on this machine took {plan.calibration:.1f} s; other work on it makes a run "
    return "\n".join([*lines, *_wrapped(free + "longer than foreseen.", width)])


def _model(model: ModelPlan, width: int) -> list[str]:
    if model.error is not None:
        return _wrapped(f"{one_line(model.name)}: cannot be measured: {model.error}", width)
    sources = {stage.source for stage in model.stages if stage.source}
    said = f"{one_line(model.name)}: weights from {' and '.join(sorted(sources)) or 'memory'}"
    lines = [*_wrapped(said, width), *_stages([*model.stages, model.whole], width)]
    for stage in model.stages:
        if stage.note:
            lines += _wrapped(f"{stage.name}: {one_line(stage.note)}", width)
    if any("network" in source for source in sources):
        lines += _wrapped("Transfers over the network come on top of the times.", width)
    return [*lines, *_claims(model.claims, width)]


def _stages(stages: Sequence[Stage], width: int) -> list[str]:
    rows = [_row(stage) for stage in stages]
    if width < _TABLE:
        return [
            line
            for row in rows
            for line in _wrapped(
                f"{row[0]}: " + ", ".join(f"{name} {value}" for name, value in zip(_HEAD[1:], row[1:], strict=True)),
                width,
            )
        ]
    every = [_HEAD, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(_HEAD))]
    room = _TABLE - sum(widths[1:]) - 2 * (len(_HEAD) - 1)
    lines = []
    for row in every:
        name = textwrap.wrap(row[0], max(12, room)) or [""]
        numbers = "  ".join(value.rjust(size) for value, size in zip(row[1:], widths[1:], strict=True))
        lines.append(f"{name[0].ljust(min(widths[0], max(12, room)))}  {numbers}")
        lines += [f"  {rest}" for rest in name[1:]]
    lines.insert(1, "-" * len(lines[0]))
    return lines


def _row(stage: Stage) -> tuple[str, ...]:
    return (
        one_line(stage.name),
        size_of(stage.reads),
        operations_of(stage.operations),
        size_of(stage.keeps),
        f"{stage.needs / 2**30:.1f} GiB",
        time_of(stage.seconds),
    )


def size_of(size: int) -> str:
    """Bytes for people: ``5.6 GB``."""
    return _scaled(size, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def operations_of(operations: float) -> str:
    """Floating-point operations for people: ``1.4 TFLOP``."""
    return _scaled(
        operations, ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP"), (1.0, "FLOP"))
    )


def _scaled(value: float, steps: Iterable[tuple[float, str]]) -> str:
    for step, name in steps:
        if value >= step:
            return f"{value / step:.3g} {name}"
    return "–"


def time_of(seconds: float) -> str:
    """A forecast of a time, as coarse as it is."""
    if seconds <= 0:
        return "–"
    return "under 1 s" if seconds < 1 else span(seconds).replace("seconds", "s").replace("minutes", "min")


def _claims(claims: Sequence[Foreseen], width: int) -> list[str]:
    lines = []
    for outcome in _OUTCOMES:
        found = [one for one in claims if one.outcome == outcome]
        if not found:
            continue
        said = "will not apply" if outcome == "not applicable" else "will not be measured"
        lines.append(f"{len(found)} of {len(claims)} tests {said}:")
        for reason in dict.fromkeys(one.reason for one in found):
            names = dict.fromkeys(one.key.partition("/")[2] for one in found if one.reason == reason)
            lines += _wrapped(f"{', '.join(map(one_line, names))}: {one_line(reason)}", width, indent="  ")
    left = sum(one.outcome == "decided when measured" for one in claims)
    if claims:
        lines += _wrapped(
            f"{left} of {len(claims)} tests: decided when measured; some of them may then still not apply.", width
        )
    return lines


def _wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, max(20, width), initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
    )
