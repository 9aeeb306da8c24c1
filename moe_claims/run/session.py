"""One run's workbench: opens models, measures what is not stored yet, and judges. Made once per process."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, final

from moe_claims import __version__
from moe_claims.errors import MoeClaimsError
from moe_claims.judge.evaluate import Judged, evaluate
from moe_claims.measure.measured import Measured
from moe_claims.measure.measurer import Measurer
from moe_claims.measure.store import Store
from moe_claims.models.device import device_of
from moe_claims.models.loading import OpenModel, open_model, random_control
from moe_claims.models.names import ModelRef
from moe_claims.settings import Settings

Illustrate = Callable[[OpenModel, Mapping[str, Measured]], dict[str, Any]]


@final
class Bench:
    """Measures and judges the models of one run; every answer is kept."""

    def __init__(self, settings: Settings, illustrate: Illustrate | None = None) -> None:
        """``illustrate`` draws a model from what was measured of it, as soon as it is judged."""
        self.settings = settings
        self._illustrate = illustrate
        self._measurer = Measurer(settings, Store(settings.cache))
        self._judged: dict[str, Judged | MoeClaimsError] = {}
        self._cards: dict[str, dict[str, Any]] = {}
        self._corpora: dict[str, list[dict[str, Any]]] = {}
        self._pictures: dict[str, dict[str, Any]] = {}

    def judged(self, ref: ModelRef) -> Judged:
        """All rows of a model.

        Raises:
            MoeClaimsError: the model cannot be opened or its weights measured; asked again, again.
        """
        if ref.name not in self._judged:
            try:
                self._judged[ref.name] = self._judge(ref)
            except MoeClaimsError as error:
                self._judged[ref.name] = error
        answer = self._judged[ref.name]
        if isinstance(answer, MoeClaimsError):
            raise answer
        return answer

    def card(self, ref: ModelRef) -> dict[str, Any]:
        """What the report says about a model that was judged."""
        return self._cards[ref.name]

    def corpora(self, ref: ModelRef) -> list[dict[str, Any]]:
        """What the report says about the texts that a judged model was run on."""
        return self._corpora[ref.name]

    def pictures(self, ref: ModelRef) -> dict[str, Any] | None:
        """The figures of a judged model, or the reason why there are none; None where none were asked for."""
        return self._pictures.get(ref.name)

    def _judge(self, ref: ModelRef) -> Judged:
        model = open_model(ref, download=self.settings.download)
        measured, self._corpora[ref.name] = self._measurer.measure(model)
        control: Mapping[str, Measured] | MoeClaimsError | None = None
        if self.settings.controls:
            try:
                control, _ = self._measurer.measure(random_control(model))
            except MoeClaimsError as error:  # shown beside the verdicts, which stand without it
                control = error
        judged = evaluate(ref.name, model.hub_id, measured, control, seed=self.settings.seed, alpha=self.settings.alpha)
        self._cards[ref.name] = model.card()
        if self._illustrate is not None:
            try:
                self._pictures[ref.name] = self._illustrate(model, measured)
            except (MoeClaimsError, OSError) as error:  # the verdicts stand without pictures
                self._pictures[ref.name] = {"model": model.card(), "figures": [], "reason": str(error)}
        return judged


def environment(settings: Settings) -> dict[str, Any]:
    """Versions and options that the numbers depend on."""
    import platform
    from importlib.metadata import version

    packages = ("torch", "transformers", "numpy", "scipy", "safetensors", "tokenizers")
    chosen = asdict(settings)
    return {
        "moe_claims": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in packages},
        "device": device_of(settings.device),
        **{name: chosen[name] for name in ("dtype", "profile", "seed", "alpha", "tokens")},
        "layers": None if settings.layers is None else ",".join(map(str, settings.layers)),
        "dense_reference": settings.dense_reference and settings.dense_reference.name,
        "second_model": settings.second_model and settings.second_model.name,
        "experiments": settings.experiments and str(settings.experiments),
    }
