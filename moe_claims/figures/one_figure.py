"""One figure of one model, not written to a file."""

from collections.abc import Sequence
from difflib import get_close_matches

from moe_claims.errors import UsageError
from moe_claims.figures import style
from moe_claims.figures.catalogue import KINDS
from moe_claims.figures.data import Drawing
from moe_claims.figures.gallery import layers_of, measured, reference_of
from moe_claims.figures.matplotlib_backend import library
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Store
from moe_claims.models.loading import open_model
from moe_claims.settings import Settings


def draw(settings: Settings, name: str, layers: Sequence[int] | None, *, must_fit: bool) -> Drawing:
    """Measures the first model of the settings on the first text, and draws one figure.

    Args:
        settings: the options.
        name: id of the kind of figure in ``KINDS``.
        layers: indices of the layers that are drawn individually; None for a selection.
        must_fit: whether a dense reference of another shape is an error.

    Raises:
        UsageError: there is no such kind, the model lacks a requested layer, or matplotlib is not installed.
        MoeClaimsError: the model cannot be opened or measured, or the figure does not apply to it.
    """
    library()
    kinds = {kind.id: kind for kind in KINDS}
    if name not in kinds:
        near = get_close_matches(name, kinds, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"give one of {', '.join(kinds)}"
        raise UsageError(f"there is no figure '{name}': {hint}")
    model = open_model(settings.models[0], download=settings.download)
    drawn = layers_of(model, layers)
    reference = reference_of(model, settings, must_fit=must_fit)
    subject, _ = measured(Measurer(settings, Store(settings.cache)), model, drawn, reference)
    with style.style():
        return kinds[name].draw(subject)
