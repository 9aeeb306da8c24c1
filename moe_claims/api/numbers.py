"""``measurements``: arrays without a judgement; ``figure``: one of the paper's figures."""

from collections.abc import Iterable, Sequence
from operator import index
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_claims.api import notebook, options
from moe_claims.api.options import Layers, Name

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def measurements(
    model: Name,
    *,
    text: Name | None = None,
    token_ids: Name | Sequence[Sequence[int]] | None = None,
    what: str | Iterable[str] | None = None,
    tokens: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    dense_reference: Name | None = None,
    shared_experts: bool = False,
    download: bool = False,
    cache: Name | None = None,
    progress: bool = True,
) -> "dict[str, NDArray[np.generic]]":
    """What ``python -m moe_claims measure`` writes: arrays by name, without any judgement.

    Names and shapes are in the reference. What has been measured before is taken from the cache folder.

    Args:
        model: alias, folder, ``[hub:]org/name[@revision]`` or ``synthetic:KIND``.
        text: name or file of the text to run; ``builtin`` if there is none.
        token_ids: instead of a text, token ids used exactly as given: a list per sequence, or a JSON file of them.
        what: some of ``weights``, ``matching``, ``outputs`` and ``token-outputs``; the first three if there is none.
        tokens: at most this many tokens of the text.
        device: ``auto``, or where to run, such as ``cpu`` or ``cuda``.
        dtype: of weights and hidden states in the forward pass: ``float32``, ``float64`` or ``bfloat16``.
        dense_reference: dense model of the same shape, last on the expert axes.
        shared_experts: whether the model's own shared experts come last on the expert axes.
        download: whether a model of the hub is fetched whole before it is read.
        cache: folder of stored measurements; the user's cache folder if there is none.
        progress: whether progress is shown on standard error.

    Raises:
        MoeClaimsError: something that was given cannot be used, or the model cannot be read or run; in one line.
    """
    from moe_claims.errors import UsageError
    from moe_claims.measure.export import DEFAULT, measured_arrays
    from moe_claims.settings import settings_from

    if text is not None and token_ids is not None:
        raise UsageError("text and token_ids both say what the model reads: give one of them")
    if isinstance(what, str):
        what = [part.strip() for part in what.split(",")]
    with options.progress_shown(progress), options.in_words_of_python():
        # For the checks of what both have.
        settings = settings_from(_values(model, text, tokens, device, dtype, dense_reference, cache))
        arrays, _ = measured_arrays(
            settings.models[0].name,
            text=settings.texts[0],
            token_ids=_token_ids(token_ids),
            what=DEFAULT if what is None else tuple(what),
            tokens=settings.tokens,
            device=settings.device,
            dtype=settings.dtype,
            dense_reference=None if dense_reference is None else options.model_name(dense_reference),
            shared_experts=shared_experts,
            download=download,
            cache=settings.cache,
        )
    return arrays


def figure(
    model: Name,
    kind: str,
    *,
    text: Name | None = None,
    tokens: int | None = None,
    layers: Layers | None = None,
    device: str = "auto",
    dtype: str = "float32",
    dense_reference: Name | None = None,
    download: bool = False,
    cache: Name | None = None,
    progress: bool = True,
) -> "Figure":
    """Draws one of the paper's figures for a model.

    Measures what ``python -m moe_claims figures`` measures; a second figure of the same model takes seconds.

    Args:
        model: alias, folder, ``[hub:]org/name[@revision]`` or ``synthetic:KIND``.
        kind: which figure, such as ``rank-counts``; the page on figures has them all with captions.
        text: name or file of the text to run; ``builtin`` if there is none.
        tokens: at most this many tokens of the text.
        layers: layers that are drawn one by one; six, the first and the last among them, if there are none.
        device: ``auto``, or where to run, such as ``cpu`` or ``cuda``.
        dtype: of weights and hidden states in the forward pass: ``float32``, ``float64`` or ``bfloat16``.
        dense_reference: dense model of the same shape, last on the expert axes as ``F``.
        download: whether a model of the hub is fetched whole before it is read.
        cache: folder of stored measurements; the user's cache folder if there is none.
        progress: whether progress is shown on standard error.

    Returns:
        The ``matplotlib.figure.Figure``; its ``savefig`` writes it, and a notebook shows it.

    Raises:
        MoeClaimsError: there is no such kind, it does not apply to the model, something that was given cannot be
            used, or matplotlib is not installed; in one line.
    """
    from moe_claims.figures import one_figure
    from moe_claims.settings import settings_from

    with options.progress_shown(progress), options.in_words_of_python():
        # Layers that are drawn are not those whose neurons are matched, but are written in the same way.
        numbers = settings_from({"layers": options.layers_text(layers)}).layers
        values = _values(model, text, tokens, device, dtype, dense_reference, cache) | {"download": download}
        drawing = one_figure.draw(settings_from(values), kind, numbers, must_fit=dense_reference is not None)
    notebook.show_figures()
    drawn: Figure = drawing.figure
    return drawn


def _values(
    model: Name,
    text: Name | None,
    tokens: int | None,
    device: str,
    dtype: str,
    dense_reference: Name | None,
    cache: Name | None,
) -> dict[str, Any]:
    return {
        "model": [options.model_name(model)],
        "text": None if text is None else [options.text_name(text)],
        "tokens": options.number_text(tokens),
        "device": device,
        "dtype": dtype,
        "dense-reference": None if dense_reference is None else options.model_name(dense_reference),
        "cache": None if cache is None else options.text_name(cache),
    }


def _token_ids(given: Name | Sequence[Sequence[int]] | None) -> Path | list[list[int]] | None:
    """Token ids as ``measured_arrays`` takes them: a file, or whole numbers of whatever type as ``int``."""
    if given is None:
        return None
    if isinstance(given, str | PathLike):
        return Path(given)
    return [[index(token) for token in sequence] for sequence in given]
