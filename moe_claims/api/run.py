"""``evaluate``: judges models as ``pytest claims/`` does, and gives a report to work with."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from moe_claims.api import options
from moe_claims.api.options import Layers, Name, Names
from moe_claims.api.report import Report
from moe_claims.api.saved_figures import SavedFigures


def evaluate(
    model: Names | None = None,
    *,
    text: Names | None = None,
    packs: str | Iterable[str] | None = None,
    profile: str = "full",
    tokens: int | None = None,
    layers: Layers | None = None,
    dense_reference: Name | None = None,
    second_model: Name | None = None,
    device: str = "auto",
    dtype: str = "float32",
    seed: int = 0,
    alpha: float = 0.05,
    download: bool = False,
    experiments: Name | None = None,
    cache: Name | None = None,
    figures: bool = False,
    progress: bool = True,
) -> Report:
    """Judges models: measures what is not kept from an earlier run, and tests every claim.

    The rows are those of ``pytest claims/`` under the same options. Options of the environment and of ini files are
    not read, but for the cache folder's.

    Args:
        model: alias, folder, ``[hub:]org/name[@revision]`` or ``synthetic:KIND``, one or several; the embedded models
            if there is none. A ``pathlib.Path`` is always a folder.
        text: name or file of the text to run, one or several; ``builtin`` if there is none.
        packs: packs of claims to judge, one or several; those of this package if there is none.
        profile: ``full``, or ``quick`` for 2,048 tokens and no random-initialisation control.
        tokens: at most this many tokens of each text.
        layers: layers whose neurons are matched; all of them if that takes minutes.
        dense_reference: dense model of the experts' shape to compare with, named as a model.
        second_model: model to compare the routing with, named as a model.
        device: ``auto``, or where to run, such as ``cpu`` or ``cuda``.
        dtype: of weights and hidden states in the forward pass: ``float32``, ``float64`` or ``bfloat16``.
        seed: of every resampling.
        alpha: error rate of each family of tests.
        download: whether models of the hub are fetched whole before they are read.
        experiments: folder of results of trainings to judge; those in the package if there is none.
        cache: folder of stored measurements; the user's cache folder if there is none.
        figures: whether the figures of a report are drawn too; ``Report.save`` writes them.
        progress: whether progress is shown on standard error.

    Returns:
        The report. A model that cannot be opened or measured is in its ``errors``; the others are judged.

    Raises:
        MoeClaimsError: an option cannot be used, or none of the models can be opened and measured; the message says
            what is wrong and what to do, in one line.
    """
    from moe_claims.judge.registry import chosen
    from moe_claims.models.device import device_of
    from moe_claims.run.session import Session
    from moe_claims.run.whole import judge_all
    from moe_claims.settings import settings_from

    models, texts, wanted = (
        options.several(keyword, given) for keyword, given in (("model", model), ("text", text), ("packs", packs))
    )
    values: dict[str, Any] = {
        "model": models and [options.model_name(name) for name in models],
        "text": texts and [options.text_name(name) for name in texts],
        "pack": wanted,
        "profile": profile,
        "tokens": options.number_text(tokens),
        "layers": options.layers_text(layers),
        "dense-reference": dense_reference and options.model_name(dense_reference),
        "second-model": second_model and options.model_name(second_model),
        "device": device,
        "dtype": dtype,
        "seed": options.number_text(seed),
        "alpha": options.number_text(alpha),
        "download": download,
        "experiments": experiments and options.text_name(experiments),
        "cache": cache and options.text_name(cache),
    }
    draw = None
    with TemporaryDirectory(prefix="moe-claims-") as scratch, options.progress_shown(progress):
        with options.in_words_of_python():
            settings = settings_from({**values, "report": scratch})
            device_of(settings.device)  # torch alone can say whether it is there
            loaded = chosen(settings.packs)
            if figures:
                from moe_claims.figures.matplotlib_backend import library
                from moe_claims.figures.report_figures import ReportFigures

                library()  # what it lacks is said now, not after the measuring
                draw = ReportFigures(settings)
        whole = judge_all(Session(settings, draw, loaded))
        return Report(whole.document, SavedFigures.of_run(Path(scratch), whole.pictures))
