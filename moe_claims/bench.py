"""One run's workbench: opens models, measures what is not stored yet, and judges. Made once per process."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, final

from moe_claims import __version__, texts
from moe_claims.analysis.evaluate import Judged, evaluate
from moe_claims.analysis.measured import Measured
from moe_claims.errors import MoeClaimsError
from moe_claims.measure.measurement import RoutedMeasurement, WeightMeasurement
from moe_claims.measure.routed import measure_routed
from moe_claims.measure.store import Store, key_of
from moe_claims.measure.weights import measure_weights
from moe_claims.models import kernel
from moe_claims.models.device import device_of
from moe_claims.models.forward import LayerwiseModel
from moe_claims.models.loading import OpenModel, open_model, random_control
from moe_claims.models.names import ModelRef
from moe_claims.settings import Settings


@final
class Bench:
    """Measures and judges the models of one run; every answer is kept."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store = Store(settings.cache)
        self._judged: dict[str, Judged | MoeClaimsError] = {}
        self._cards: dict[str, dict[str, Any]] = {}
        self._corpora: dict[str, list[dict[str, Any]]] = {}

    @cached_property
    def device(self) -> str:
        """Where the forward passes run."""
        return device_of(self.settings.device)

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

    def _judge(self, ref: ModelRef) -> Judged:
        model = open_model(ref)
        measured, self._corpora[ref.name] = self._measure(model)
        control: Mapping[str, Measured] | MoeClaimsError | None = None
        if self.settings.controls:
            try:
                control, _ = self._measure(random_control(model))
            except MoeClaimsError as error:  # shown beside the verdicts, which stand without it
                control = error
        judged = evaluate(ref.name, model.hub_id, measured, control, seed=self.settings.seed, alpha=self.settings.alpha)
        self._cards[ref.name] = model.card()
        return judged

    def _measure(self, model: OpenModel) -> tuple[dict[str, Measured], list[dict[str, Any]]]:
        """Weights and behaviour by text name, and what the report says about each text that was run."""
        weights = WeightMeasurement.of(
            self._store.get_or_measure(
                self._key(model, what="weights"),
                lambda: measure_weights(model.checkpoint, device=self.device).arrays(),
            )
        )
        measured: dict[str, Measured] = {}
        cards = []
        for name in self.settings.texts:
            behaviour: RoutedMeasurement | MoeClaimsError
            try:
                sequences = self._sequences(model, name)
                behaviour = self._routed(model, sequences)
            except MoeClaimsError as error:  # the claims on weights stand without it
                behaviour = error
            else:
                cards.append(corpus_card(model, sequences, behaviour))
            measured[name] = Measured(weights, behaviour)
        return measured, cards

    def _sequences(self, model: OpenModel, name: str) -> texts.Sequences:
        """A text as the model reads it."""
        text = texts.load(name)
        return texts.tokenize(text, model.encoder(), limit=self.settings.tokens, longest=model.context)

    def _routed(self, model: OpenModel, sequences: texts.Sequences) -> RoutedMeasurement:
        def run() -> Mapping[str, Any]:
            layerwise = LayerwiseModel(model.checkpoint, device=self.device, dtype=self.settings.dtype)
            return measure_routed(layerwise, sequences.ids).arrays()

        key = self._key(model, what="routed", text=sequences.sha256, dtype=self.settings.dtype)
        return RoutedMeasurement.of(self._store.get_or_measure(key, run))

    def _key(self, model: OpenModel, **parts: str) -> str:
        import torch
        import transformers

        return key_of(
            weights=model.identity,
            config=model.checkpoint.config,
            device=self.device,
            kernel=kernel.VERSION,
            package=__version__,
            torch=torch.__version__,
            transformers=transformers.__version__,
            **parts,
        )


def corpus_card(model: OpenModel, sequences: texts.Sequences, behaviour: RoutedMeasurement) -> dict[str, Any]:
    """What the report says about a text as one model read it."""
    predicted = behaviour.lengths - 1
    return {
        "name": sequences.name,
        "model": model.ref.name,
        "text_sha256": sequences.source_sha256,
        "token_ids_sha256": sequences.sha256,
        "passages": sequences.passages,
        "sequences": len(sequences.ids),
        "tokens": sequences.tokens,
        "tokens_cut": sequences.tokens_cut,
        "nats_per_token": float((behaviour.nats * predicted).sum() / predicted.sum()),
    }


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
    }
