"""The course of claims over a training, as text: a pure function of the results of its checkpoints."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from moe_claims.report import formatting
from moe_claims.report.markdown_text import escape, table

Row = Mapping[str, Any]

_STEP = re.compile(r"step[-_=]?(\d+)")
"""The step in the name of a revision or a folder, such as ``step500`` or OLMoE's ``step10000-tokens41B``."""
_LAST = re.compile(r"(\d+)$")
"""The number at the end of a folder's name, such as ``ckpt-10`` or ``checkpoint-500``."""
_APART = re.compile(r"[/\\]+")


def step_of(name: str) -> int | None:
    """The training step in the name of a revision, or of a model with a revision; None if there is none."""
    found = _STEP.search(name.rpartition("@")[2])
    return None if found is None else int(found[1])


def step_of_model(name: str) -> int | None:
    """The training step of a model: that of its revision, or the one that its folder's name holds; None for none."""
    if "@" in name:
        return step_of(name)
    folder = _APART.split(name.rstrip("/\\"))[-1]
    found = _STEP.search(folder) or _LAST.search(folder)
    return None if found is None else int(found[1])


@final
@dataclass(frozen=True, eq=False)
class ClaimTrajectory:
    """One claim over the steps of a training."""

    name: str
    """Claim and variant, and the text and the pack if there are several."""
    family: str
    steps: tuple[int, ...]
    rows: tuple[Row, ...]
    """Result rows, one per step."""

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Verdicts, one per step."""
        return tuple(row["verdict"] for row in self.rows)

    @property
    def since(self) -> int | None:
        """The first step from which the claim is replicated at all points; None if it is not at the last one."""
        first = None
        for step, verdict in zip(self.steps, self.verdicts, strict=True):
            if verdict != "replicated":
                first = None
            elif first is None:
                first = step
        return first

    @property
    def artefact(self) -> bool:
        """Whether the claim is replicated at the last point and at random initialisation too."""
        return formatting.artefact(self.rows[-1])

    @property
    def now_and_then(self) -> tuple[int, ...]:
        """Steps before ``since`` at which the claim is replicated; all such steps if ``since`` is None."""
        held = [s for s, verdict in zip(self.steps, self.verdicts, strict=True) if verdict == "replicated"]
        return tuple(step for step in held if self.since is None or step < self.since)


def trajectories(document: Row) -> list[ClaimTrajectory]:
    """The trajectories of all claims that apply at some point, in the order of the report.

    Steps are read from the names of the models. No two models may have the same step, which the command ensures.
    """
    live = [row for row in document["results"] if row["evidence"] == "live" and step_of_model(row["model"]) is not None]
    texts = {row["corpus"] for row in live if row["corpus"] is not None}
    packs = len({row["pack"] for row in live}) > 1
    by_name: dict[tuple[str, str], dict[int, Row]] = {}
    for row in live:
        step = step_of_model(row["model"])
        assert step is not None
        by_name.setdefault((row["family"], formatting.name(row, len(texts) > 1, packs)), {})[step] = row
    return [
        ClaimTrajectory(name, family, tuple(sorted(rows)), tuple(rows[step] for step in sorted(rows)))
        for (family, name), rows in by_name.items()
        if any(row["verdict"] != "not-applicable" for row in rows.values())
    ]


def when(trajectory: ClaimTrajectory) -> str:
    """The step since which the claim holds, or the steps at which it held for a while, in words."""
    since, times = trajectory.since, ", ".join(f"{step:,}" for step in trajectory.now_and_then)
    if since is None:
        return f"not at the end; at {times}" if times else "never"
    said = "at every point" if since == trajectory.steps[0] else f"from step {since:,} on"
    said += f" (and at {times})" if times else ""
    return f"{said}; at random initialisation too {formatting.ARTEFACT}" if trajectory.artefact else said


def render(document: Row, name: str, known: int, figure: str | None) -> str:
    """The trajectories of all claims as Markdown.

    Args:
        document: results of the checkpoints.
        name: what was trained, for the title.
        known: number of checkpoints that there are to choose from.
        figure: file name of the figure; None if there is none.
    """
    found = trajectories(document)
    steps = sorted({step for one in found for step in one.steps})
    parts = [f"# {escape(name)} along its training", _summary(document, steps, known)]
    if figure:
        parts.append(f"![effects over training steps]({figure})")
    for family, title in (("headline", "Headline claims"), ("secondary", "Secondary claims")):
        members = [one for one in found if one.family == family]
        if members:
            parts += [f"## {title}", _table(members, steps)]
    if document["errors"]:
        lines = (
            f"- **{escape(e['model'])}**, {escape(e['claim'])}: {escape(e['message'])}" for e in document["errors"]
        )
        parts += ["## Could not be measured", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _summary(document: Row, steps: Sequence[int], known: int) -> str:
    environment = document["environment"]
    notes = dict.fromkeys(card["note"] for card in document["models"] if card.get("note"))
    texts = dict.fromkeys(f"{c['name']} ({c['sequences']} sequences)" for c in document["corpora"])
    lines = [
        f"- Points: {len(steps)} of {known} known checkpoints, at steps {', '.join(f'{step:,}' for step in steps)}",
        f"- Texts: {escape(', '.join(texts))}",
        *(f"- {escape(note)}" for note in notes),
        f"- Made {escape(document['created'])} with moe_claims {escape(environment['moe_claims'])}, "
        f"seed {environment['seed']}",
    ]
    reading = (
        "Each cell is a verdict and an effect: ✓ replicated, ~ right direction but less than claimed, ✗ contradicted, "
        "○ absent, ? inconclusive; † replicated at random initialisation too, which is tried at the last point. "
        "P-values are corrected over the claims of each point, not over points: one training was followed, so a change "
        "from point to point may be chance. The last column says since when a claim holds."
    )
    return "\n".join(lines) + f"\n\n{reading}"


def _table(members: Sequence[ClaimTrajectory], steps: Sequence[int]) -> str:
    rows = []
    for trajectory in members:
        at = dict(zip(trajectory.steps, trajectory.rows, strict=True))
        rows.append(
            [
                escape(trajectory.name),
                *(_cell(at[step]) if step in at else "" for step in steps),
                f"**{when(trajectory)}**",
            ]
        )
    return table(["claim", *(f"{step:,}" for step in steps), "holds"], rows)


def _cell(row: Row) -> str:
    if row["verdict"] == "not-applicable":
        return "–"
    mark = f" {formatting.ARTEFACT}" if formatting.artefact(row) else ""
    return f"{formatting.SIGNS[row['verdict']]} {formatting.effect(row)}{mark}"
