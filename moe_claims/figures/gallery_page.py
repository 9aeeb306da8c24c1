"""``figures.md`` and ``figures.json``: the figures with their captions and the provenance of their data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from urllib.parse import quote

from moe_claims.figures.catalogue import KINDS, Kind
from moe_claims.figures.files import Written, relative
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.printable import one_line, printable_throughout
from moe_claims.report.markdown_text import escape, table

FORMAT = 1
"""Format version of ``figures.json``."""
_EXAMPLE = "python -m moe_claims figures tiny-scratch --tokens 1000 --output figures"
_INTRO = (
    f"Counterparts of the figures of *{PACK.title}* ({PACK.paper}), drawn"
    " from our own measurements of the models below. A picture is no verdict: what is tested, and how sure it is, "
    "stands in the report. Colours are told apart by every reader, and every scale has its unit. The figures of any "
    "model are made by one command."
)


@final
@dataclass(frozen=True)
class Model:
    """The figures of one model."""

    card: Mapping[str, Any]
    """Provenance of its weights, as in a results file."""
    corpus: Mapping[str, Any] | None
    """Provenance of the long text; None if it could not be measured."""
    short: str
    """The text of the short input."""
    reference: str | None
    """Label and name of the reference block on the maps; None if there is none."""
    layers: tuple[int, ...]
    """Layers that are drawn individually."""
    figures: tuple[Written, ...]


def document(models: Sequence[Model], environment: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The content of ``figures.json``; file paths are relative to its folder."""
    return {
        "format": FORMAT,
        "paper": PACK.paper,
        "environment": dict(environment),
        "models": [
            {
                "model": dict(model.card),
                "corpus": None if model.corpus is None else dict(model.corpus),
                "short_input": model.short,
                "reference": model.reference,
                "layers": list(model.layers),
                "figures": [figure.as_entry(folder) for figure in model.figures],
            }
            for model in models
        ],
    }


def as_json(found: Mapping[str, Any]) -> str:
    """The document as JSON text."""
    return json.dumps(printable_throughout(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def render(models: Sequence[Model], environment: Mapping[str, Any], folder: Path, command: str) -> str:
    """The page of all figures as Markdown, sorted by kind and then by model.

    Args:
        models: models with their figures.
        environment: versions and options.
        folder: folder of the page.
        command: command line that produces the page.
    """
    parts = [
        "# Figures",
        _INTRO,
        f"For example:\n\n```sh\n{_EXAMPLE}\n```",
        _models(models),
        _environment(environment, command),
    ]
    for kind in KINDS:
        found = [(model, figure) for model in models for figure in model.figures if figure.kind == kind]
        parts += [f"## {escape(kind.title)}", _about(kind)]
        for model, figure in found:
            parts += [_figure(model, figure, folder, named=len(models) > 1)]
    return "\n\n".join(parts) + "\n"


def _about(kind: Kind) -> str:
    claims = f"; claims: {', '.join(f'`{claim}`' for claim in kind.claims)}" if kind.claims else ""
    return f"Counterpart in the paper: {escape(kind.counterpart)}{claims}.\n\n{escape(kind.caption)}"


def _figure(model: Model, figure: Written, folder: Path, *, named: bool) -> str:
    name = escape(model.card["name"])
    if figure.reason is not None:
        return f"**{name}**: not drawn, because {escape(figure.reason)}."
    shown = figure.files[0]
    alternative = f"{figure.kind.title}, {model.card['name']}"
    image = f"![{escape(alternative)}]({_link(shown, folder)})"
    others = "".join(f" ([{path.suffix[1:].upper()}]({_link(path, folder)}))" for path in figure.files[1:])
    notes = figure.caption.removeprefix(figure.kind.caption).strip()
    said = " ".join(part for part in (f"**{name}**." if named else "", escape(notes)) if part)
    return f"{image}{others}" + (f"\n\n{said}" if said else "")


def _models(models: Sequence[Model]) -> str:
    rows = []
    for model in models:
        card, corpus = model.card, model.corpus
        read = "–"
        if corpus is not None:
            hashed = (corpus["text_sha256"] or corpus["token_ids_sha256"])[:16]
            read = f"{escape(corpus['name'])}, {corpus['sequences']} sequences, {corpus['tokens']:,} tokens ({hashed})"
        weights = card["revision_sha"] or (card["weights_sha256"] or "–")[:16]
        rows.append(
            [
                escape(card["name"]),
                escape(card["family"]),
                str(card["moe_layers"]),
                f"{card['top_k']} of {card['experts']}",
                escape(weights),
                read,
                escape(model.reference or "none"),
            ]
        )
    headers = ["model", "family", "MoE layers", "top-k", "revision or weights SHA-256", "text", "last row of maps"]
    notes = dict.fromkeys(f"- {escape(model.card['note'])}" for model in models if model.card["note"])
    short = dict.fromkeys(f"Short input: “{escape(model.short)}”." for model in models)
    return "\n\n".join([table(headers, rows), *(["\n".join(notes)] if notes else []), *short])


def _environment(environment: Mapping[str, Any], command: str) -> str:
    said = ", ".join(f"{escape(key)} {escape(value)}" for key, value in environment.items() if value is not None)
    return f"Made with {said}, by:\n\n    {one_line(command)}"


def _link(path: Path, folder: Path) -> str:
    return quote(relative(path, folder))
