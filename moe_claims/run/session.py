"""``Session``: opens the models of a run, measures what is not stored yet, and judges. One per process."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, final

from moe_claims.errors import MoeClaimsError
from moe_claims.judge.evaluate import evaluate
from moe_claims.judge.judged import Judged
from moe_claims.judge.judged_json import judged_as_json, judged_from_json
from moe_claims.judge.kept import as_arrays, from_arrays, judgement_key
from moe_claims.judge.pack import Pack
from moe_claims.judge.registry import chosen, ships
from moe_claims.judge.trial import Asked
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Arrays, Store
from moe_claims.models.loading import OpenModel, open_model, random_control
from moe_claims.models.names import ModelRef
from moe_claims.settings import Settings


class Figures(Protocol):
    """Draws the figures of models into a report, and puts back those that were drawn before."""

    def __call__(self, model: OpenModel, measured: Mapping[str, Measured]) -> Mapping[str, Any]:
        """Draws the figures of a model from its measurements by text; returns its entry for the report."""

    def files(self, entry: Mapping[str, Any]) -> dict[str, bytes]:
        """The files of an entry, by their names in its folder."""

    def restore(self, model: str, entry: Mapping[str, Any], files: Mapping[str, bytes]) -> Mapping[str, Any]:
        """Writes the files of an entry that was kept; returns the entry for this report."""


Wanted = Mapping[tuple[str, str], frozenset[Asked]]
"""(Pack, model) → the tests that a run asks for, where it does not ask for all; a pack and model that are not there are
judged on all."""


@final
class Session:
    """Measures and judges the models of one run; results are kept in memory, and complete ones on disk."""

    def __init__(
        self,
        settings: Settings,
        figures: Figures | None = None,
        packs: Sequence[Pack] | None = None,
        wanted: Wanted | None = None,
    ) -> None:
        """A session that has measured nothing yet.

        Args:
            settings: the run's options.
            figures: called for every model that is judged on everything; None for no figures.
            packs: packs that are judged together on every model; None for those that the settings name.
            wanted: what the run asks for, where that is not everything.
        """
        self._settings = settings
        self._figures = figures
        self._packs = tuple(chosen(settings.packs) if packs is None else packs)
        self._wanted: Wanted = wanted or {}
        self._store = Store(settings.cache)
        self._measurer = Measurer(settings, self._store)
        self._models = {ref.name: ref for ref in settings.models}
        self._opened: dict[str, OpenModel] = {}
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
        """The rows of a pack on one of the run's models: all, or those that the run asks for.

        The first call for a model measures it and judges all packs of the session on it, while its
        measurements are in memory.

        Raises:
            MoeClaimsError: the model cannot be opened; later calls raise it again.
        """
        if (pack.id, model) not in self._judged:
            packs = {one.id: one for one in (*self._packs, pack)}
            wanted = [
                one
                for one in packs.values()
                if (one.id, model) not in self._judged and (one is pack or self._wanted.get((one.id, model), True))
            ]
            try:
                found: Mapping[str, Judged | MoeClaimsError] = self._judge(self._models[model], wanted)
            except MoeClaimsError as error:
                found = {one.id: error for one in wanted}
            self._opened.pop(model, None)  # the weights of some are in memory
            self._judged |= {(name, model): answer for name, answer in found.items()}
        answer = self._judged[pack.id, model]
        if isinstance(answer, MoeClaimsError):
            raise answer
        return answer

    def opened(self, model: str) -> OpenModel:
        """One of the run's models, opened once.

        Raises:
            MoeClaimsError: it cannot be opened.
        """
        if model not in self._opened:
            self._opened[model] = open_model(self._models[model], download=self._settings.download)
        return self._opened[model]

    def compared_with(self) -> list[MoeClaimsError]:
        """Opens the dense reference and the second model; returns the errors of those that cannot be opened."""
        return self._measurer.not_opened()

    def _judge(self, ref: ModelRef, packs: Sequence[Pack]) -> dict[str, Judged | MoeClaimsError]:
        """The judgement of one model, kept or made now: pack id → result."""
        model = self.opened(ref.name)
        if not all(ships(pack) for pack in packs):
            return self._measured_and_judged(model, packs)
        try:
            depends_on = self._measurer.depends_on(model)
        except MoeClaimsError:  # of a text or a model to compare with, which rows will tell of
            return self._measured_and_judged(model, packs)
        asked = {pack.id: self._wanted.get((pack.id, ref.name)) for pack in packs}
        given = self._settings
        key = judgement_key(
            packs,
            **depends_on,
            model=[ref.name, model.hub_id, model.card()],
            run=[given.seed, given.alpha, given.controls, self._figures is not None],
            asked={name: None if tests is None else sorted(map(repr, tests)) for name, tests in asked.items()},
        )
        return self._store.get_or_make(
            key,
            lambda: self._measured_and_judged(model, packs),
            self._as_arrays,
            lambda arrays: self._from_arrays(ref.name, arrays),
        )

    def _measured_and_judged(self, model: OpenModel, packs: Sequence[Pack]) -> dict[str, Judged | MoeClaimsError]:
        name = model.ref.name
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
            asked = self._wanted.get((pack.id, name))
            try:
                found[pack.id] = evaluate(
                    pack, name, model.hub_id, measured, control, seed=seed, alpha=alpha, asked=asked
                )
            except Exception as error:  # a fault of one pack must not take the rows of the others
                found[pack.id] = MoeClaimsError(
                    f"pack '{pack.id}' cannot be judged on '{name}': {type(error).__name__}: {error}"
                )
        pictures = self._pictures(model, measured)
        ordered = sorted(corpora, key=lambda card: self._settings.texts.index(card["name"]))
        around: dict[str, Any] = {"card": model.card(), "corpora": tuple(ordered), "pictures": pictures}
        return {
            pack: judged if isinstance(judged, MoeClaimsError) else replace(judged, **around)
            for pack, judged in found.items()
        }

    def _pictures(self, model: OpenModel, measured: Mapping[str, Measured]) -> Mapping[str, Any] | None:
        if self._figures is None:
            return None
        if not all(first.has(part) for first in measured.values() for part in ("weights", "text")):
            reason = "the run asks for some tests alone"
            return {"model": model.card(), "figures": [], "reason": reason}
        try:
            return self._figures(model, measured)
        except (MoeClaimsError, OSError) as error:  # verdicts do not depend on figures
            reason = str(error)
        except Exception as error:
            reason = f"a figure could not be drawn: {type(error).__name__}: {error}"
        return {"model": model.card(), "figures": [], "reason": reason}

    def _as_arrays(self, found: Mapping[str, Judged | MoeClaimsError]) -> Arrays | None:
        """A complete judgement as arrays; None if something of it is missing, which is tried again next time."""
        complete = [one for one in found.values() if isinstance(one, Judged) and not one.broken]
        pictures = complete[0].pictures if complete else None
        if len(complete) < len(found) or (pictures is not None and "reason" in pictures):
            return None
        controls = [control for one in complete for row in one.results for control in row.controls.values()]
        if any(control["verdict"] is None for control in controls):
            return None
        files = {} if pictures is None or self._figures is None else self._figures.files(pictures)
        judged = {name: judged_as_json(one) for name, one in found.items() if isinstance(one, Judged)}
        return as_arrays({"judged": judged, "pictures": pictures}, files)

    def _from_arrays(self, model: str, arrays: Arrays) -> dict[str, Judged | MoeClaimsError]:
        document, files = from_arrays(arrays)
        pictures = document["pictures"]
        if pictures is not None and self._figures is not None:
            pictures = self._figures.restore(model, pictures, files)
        return {name: replace(judged_from_json(kept), pictures=pictures) for name, kept in document["judged"].items()}
