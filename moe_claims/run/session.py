"""``Session``: opens the models of a run, measures what is not stored yet, and judges. One per process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from moe_claims.errors import MoeClaimsError
from moe_claims.judge.evaluate import evaluate
from moe_claims.judge.judged import Judged
from moe_claims.judge.pack import Pack
from moe_claims.judge.registry import chosen
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Store
from moe_claims.models.loading import OpenModel, open_model, random_control
from moe_claims.models.names import ModelRef
from moe_claims.settings import Settings

DrawFigures = Callable[[OpenModel, Mapping[str, Measured]], Mapping[str, Any]]
"""Draws the figures of a model from its measurements by text; returns its entry for the report."""


@final
class Session:
    """Measures and judges the models of one run; results are kept in memory."""

    def __init__(
        self, settings: Settings, draw_figures: DrawFigures | None = None, packs: Sequence[Pack] | None = None
    ) -> None:
        """A session that has measured nothing yet.

        Args:
            settings: the run's options.
            draw_figures: called for every model after it is judged; None for no figures.
            packs: packs that are judged together on every model; None for those that the settings name.
        """
        self._settings = settings
        self._draw_figures = draw_figures
        self._packs = tuple(chosen(settings.packs) if packs is None else packs)
        self._measurer = Measurer(settings, Store(settings.cache))
        self._models = {ref.name: ref for ref in settings.models}
        self._judged: dict[tuple[str, str], Judged | MoeClaimsError] = {}

    @property
    def settings(self) -> Settings:
        """The run's options."""
        return self._settings

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The packs that are judged on every model."""
        return self._packs

    def judged(self, pack: Pack, model: str) -> Judged:
        """All rows of a pack on one of the run's models.

        The first call for a model measures it and judges all packs of the session on it, while its
        measurements are in memory.

        Raises:
            MoeClaimsError: the model cannot be opened or its weights measured; later calls raise it again.
        """
        if (pack.id, model) not in self._judged:
            packs = {one.id: one for one in (*self._packs, pack)}
            wanted = [one for one in packs.values() if (one.id, model) not in self._judged]
            try:
                found: Mapping[str, Judged | MoeClaimsError] = self._judge(self._models[model], wanted)
            except MoeClaimsError as error:
                found = {one.id: error for one in wanted}
            self._judged |= {(name, model): answer for name, answer in found.items()}
        answer = self._judged[pack.id, model]
        if isinstance(answer, MoeClaimsError):
            raise answer
        return answer

    def _judge(self, ref: ModelRef, packs: Sequence[Pack]) -> dict[str, Judged | MoeClaimsError]:
        """Opens, measures and judges one model: pack id → result."""
        model = open_model(ref, download=self._settings.download)
        measured, corpora = self._measurer.measure(model)
        control: Mapping[str, Measured] | MoeClaimsError | None = None
        if self._settings.controls:
            try:
                control, _ = self._measurer.measure(random_control(model))
            except MoeClaimsError as error:  # reported with the verdicts, which do not depend on it
                control = error
        seed, alpha = self._settings.seed, self._settings.alpha
        found: dict[str, Judged | MoeClaimsError] = {}
        for pack in packs:
            try:
                found[pack.id] = evaluate(pack, ref.name, model.hub_id, measured, control, seed=seed, alpha=alpha)
            except Exception as error:  # a fault of one pack must not take the rows of the others
                found[pack.id] = MoeClaimsError(
                    f"pack '{pack.id}' cannot be judged on '{ref.name}': {type(error).__name__}: {error}"
                )
        pictures = self._pictures(model, measured)
        around: dict[str, Any] = {"card": model.card(), "corpora": tuple(corpora), "pictures": pictures}
        return {
            name: judged if isinstance(judged, MoeClaimsError) else replace(judged, **around)
            for name, judged in found.items()
        }

    def _pictures(self, model: OpenModel, measured: Mapping[str, Measured]) -> Mapping[str, Any] | None:
        if self._draw_figures is None:
            return None
        try:
            return self._draw_figures(model, measured)
        except (MoeClaimsError, OSError) as error:  # verdicts do not depend on figures
            reason = str(error)
        except Exception as error:
            reason = f"a figure could not be drawn: {type(error).__name__}: {error}"
        return {"model": model.card(), "figures": [], "reason": reason}
