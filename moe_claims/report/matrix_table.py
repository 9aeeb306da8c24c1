"""The matrix of claims and models on a terminal: one table, or several below each other if the models do not fit."""

from collections.abc import Iterator, Sequence

from moe_claims.report import formatting
from moe_claims.report.model_matrix import Row, SideBySide, short, side_by_side
from moe_claims.report.screen import SIGN_COLOURS, Cell, Screen

_CLAIM = 20
"""Columns that the names of claims get at least, if they need as many."""
_NAMES = (1000, 40, 24, 16, 12, 9)
"""Columns that names of models are folded to: the first with which all models fit beside whole names of claims."""


def render(results: Sequence[Row], screen: Screen) -> str:
    """The matrix with its legend; empty if no model was judged.

    Args:
        results: rows of the results document, printable throughout.
        screen: what it is to be shown on.
    """
    found = side_by_side(results)
    if not found.models:
        return ""
    title = "All models: verdict and effect" if len(found.models) > 1 else "Verdict and effect"
    cells = [[_cell(row) for row in of_models] for _, of_models in found.rows]
    tables = list(_blocks(found, cells, screen)) if found.rows else []
    return "\n".join(filter(None, [screen.paragraph(title), "\n\n".join(tables), legend(results, screen)]))


def legend(results: Sequence[Row], screen: Screen) -> str:
    """What the signs mean; that of claims which hold at random initialisation too only where it occurs."""
    signs: list[Cell] = [(f"{sign} {word}", SIGN_COLOURS[word]) for word, sign in formatting.SIGNS.items()]
    if any(formatting.artefact(row) for row in results):
        signs.append(f"{formatting.ARTEFACT} at random initialisation too")
    return screen.listed(signs)


def left_out(results: Sequence[Row]) -> list[str]:
    """Names of the claims that the matrix leaves out, since they apply to none of the models."""
    live = [row for row in results if row["evidence"] == "live"]
    applies = {row["claim"] for row in live if row["verdict"] != "not-applicable"}
    return list(dict.fromkeys(formatting.claim(row) for row in live if row["claim"] not in applies))


def _cell(row: Row | None) -> Cell:
    return short(row) if row is None else (short(row), SIGN_COLOURS[row["verdict"]])


def _blocks(found: SideBySide, cells: Sequence[Sequence[Cell]], screen: Screen) -> Iterator[str]:
    """The tables: names whole if all models fit so, else folded, else as many models in each as fit."""
    claims = [claim for claim, _ in found.rows]
    natural = screen.width_of(["claim", *claims])
    numbers = [screen.width_of(line[place] for line in cells) for place in range(len(found.models))]
    for most in _NAMES:
        names = [screen.width_of(screen.folded(name, most)) for name in found.models]
        widths = [max(pair) for pair in zip(numbers, names, strict=True)]
        if natural <= screen.left(widths):
            break
    enough = min(natural, _CLAIM)
    start = 0
    while start < len(widths):
        end = start + 1
        while end < len(widths) and screen.left(widths[start : end + 1]) >= enough:
            end += 1
        shown = widths[start:end]
        claim_width = min(natural, max(screen.left(shown), 1))
        yield screen.table(
            ["claim", *found.models[start:end]],
            [[claim, *line[start:end]] for claim, line in zip(claims, cells, strict=True)],
            {0: claim_width, **dict(enumerate(shown, start=1))},
        )
        start = end
