"""The figures of a report: some of every judged model, drawn from the measurements made for its claims."""

from collections.abc import Mapping
from typing import Any, final

from moe_claims.errors import MoeClaimsError
from moe_claims.figures import files, style
from moe_claims.figures.catalogue import KINDS
from moe_claims.figures.data import Read, Reference, Subject
from moe_claims.figures.gallery import DEFAULT_LAYERS
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurement import DenseWeights
from moe_claims.models.loading import OpenModel
from moe_claims.report.report_folder import FIGURES
from moe_claims.settings import Settings

REPORTED = ("rank-counts", "matrix-similarity", "outputs-averaged", "depth-outputs")
"""Kinds of figures in reports, which need only weights and a text; the command ``figures`` draws the others too."""


@final
class ReportFigures:
    """Draws the figures of a run's models into the folder of its report."""

    def __init__(self, settings: Settings) -> None:
        """Prepares a folder name for each model of the settings; writes nothing yet."""
        names = [ref.name for ref in settings.models]
        self._folders = dict(zip(names, files.folder_names(names), strict=True))
        self._root = settings.report / FIGURES

    def __call__(self, model: OpenModel, measured: Mapping[str, Measured]) -> dict[str, Any]:
        """Draws the figures of one model.

        Args:
            model: the model.
            measured: its measurements by text; those on the first text are drawn.

        Returns:
            ``{"model": card, "figures": entries}`` as in ``figures.json``; file paths are relative to its folder.

        Raises:
            UsageError: matplotlib is not installed.
        """
        text, found = next(iter(measured.items()))
        subject = Subject(
            model.ref.name,
            model.hub_id,
            style.spread(model.checkpoint.moe_layers, DEFAULT_LAYERS),
            found.weights,
            _reference(found),
            MoeClaimsError("the figures of a report have no short input"),
            found.text if isinstance(found.text, MoeClaimsError) else Read(text, (), found.routed),
            MoeClaimsError("the figures of a report have no projections"),
        )
        kinds = [kind for name in REPORTED for kind in KINDS if kind.id == name]
        folder = self._root / self._folders[model.ref.name]
        written = files.write(subject, folder, ("png",), kinds)
        return {"model": model.card(), "figures": [one.as_entry(self._root) for one in written]}

    def files(self, entry: Mapping[str, Any]) -> dict[str, bytes]:
        """The files of an entry, by their names in the folder of its model."""
        paths = [self._root / name for figure in entry["figures"] for name in figure["files"]]
        return {path.name: path.read_bytes() for path in paths}

    def restore(self, model: str, entry: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
        """Writes the files of an entry that an earlier run drew; returns the entry for this report."""
        folder = self._root / self._folders[model]
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        figures = [
            {**figure, "files": [f"{folder.name}/{name.rpartition('/')[2]}" for name in figure["files"]]}
            for figure in entry["figures"]
        ]
        return {**entry, "figures": figures}


def _reference(found: Measured) -> Reference | MoeClaimsError:
    if isinstance(found.dense, DenseWeights):
        return Reference("F", "dense reference", found.dense)
    return found.dense or MoeClaimsError("no dense model was compared with")
