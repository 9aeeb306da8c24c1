"""One model measured for the claims: weights, neurons, behaviour on every text, and what it is compared with."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, final

from moe_claims import __version__, texts
from moe_claims.analysis.measured import Measured
from moe_claims.errors import MoeClaimsError, NotComparableError
from moe_claims.measure.dense import measure_dense
from moe_claims.measure.matching import layers_to_match, measure_matching
from moe_claims.measure.measurement import (
    DenseWeights,
    MatchingMeasurement,
    RoutedMeasurement,
    WeightMeasurement,
)
from moe_claims.measure.routed import measure_routed
from moe_claims.measure.store import Arrays, Measure, key_of
from moe_claims.measure.weights import measure_weights
from moe_claims.models import kernel
from moe_claims.models.dense import DenseModel, open_dense
from moe_claims.models.device import device_of
from moe_claims.models.families import ROLES, Role
from moe_claims.models.forward import LayerwiseModel
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.settings import Settings


class Keeper(Protocol):
    """Whoever keeps measurements, such as the store on disk."""

    def get_or_measure(self, key: str, measure: Measure) -> Arrays:
        """What was kept under the key, or what ``measure`` makes now."""


@final
class Forgetful:
    """Keeps nothing: for synthetic models by the hundred."""

    def get_or_measure(self, key: str, measure: Measure) -> Arrays:
        """What ``measure`` makes now."""
        return measure()


@final
class Measurer:
    """Measures models as a run's settings ask for, and lets a keeper keep what was measured."""

    def __init__(self, settings: Settings, keeper: Keeper) -> None:
        self.settings = settings
        self._keeper = keeper

    @cached_property
    def device(self) -> str:
        """Where the forward passes run."""
        return device_of(self.settings.device)

    @cached_property
    def _dense(self) -> DenseModel | MoeClaimsError | None:
        try:
            return None if self.settings.dense_reference is None else open_dense(self.settings.dense_reference)
        except MoeClaimsError as error:  # the claims that need none stand without it
            return error

    @cached_property
    def _second(self) -> OpenModel | MoeClaimsError | None:
        try:
            return None if self.settings.second_model is None else open_model(self.settings.second_model)
        except MoeClaimsError as error:
            return error

    def measure(self, model: OpenModel, *, neurons: bool = True) -> tuple[dict[str, Measured], list[dict[str, Any]]]:
        """Measurements by text name, and what the report says about each text that was run.

        Args:
            model: to be measured.
            neurons: whether its neurons are matched, which takes longest.

        Raises:
            MoeClaimsError: the weights cannot be measured. What stops anything else is kept in its place.
        """
        weights = WeightMeasurement.of(
            self._keeper.get_or_measure(
                self._key(model, what="weights"),
                lambda: measure_weights(model.checkpoint, device=self.device).arrays(),
            )
        )
        matching, against_dense = self._matching(model) if neurons else None, self._against_dense(model)
        dense: DenseModel | None = None
        # One that does not fit or whose weights cannot be read is not run: it would take the whole text with it.
        if isinstance(self._dense, DenseModel) and isinstance(against_dense, DenseWeights):
            dense = self._dense
        behaviour: dict[str, RoutedMeasurement | MoeClaimsError] = {}
        second: dict[str, RoutedMeasurement | MoeClaimsError | None] = {}
        cards = []
        for name in self.settings.texts:
            try:
                sequences = self._sequences(model, name)
                found = behaviour[name] = self._routed(model, sequences, dense)
                cards.append(corpus_card(model, sequences, found))
                second[name] = self._second_routed(model, sequences, dense)
            except MoeClaimsError as error:  # the claims on weights stand without it
                behaviour[name] = second[name] = error
        return {
            name: Measured(weights, text, matching, against_dense, second[name], behaviour)
            for name, text in behaviour.items()
        }, cards

    def _matching(self, model: OpenModel) -> Mapping[Role, MatchingMeasurement] | MoeClaimsError:
        try:
            layers = layers_to_match(model.checkpoint, self.settings.layers)
            return {role: self._matched(model, role, layers) for role in ROLES}
        except MoeClaimsError as error:
            return error

    def _matched(self, model: OpenModel, role: Role, layers: Sequence[int]) -> MatchingMeasurement:
        key = self._key(model, what=f"matching {role}", layers=",".join(map(str, layers)))
        return MatchingMeasurement.of(
            self._keeper.get_or_measure(key, lambda: measure_matching(model.checkpoint, role, layers).arrays())
        )

    def _against_dense(self, model: OpenModel) -> DenseWeights | MoeClaimsError | None:
        dense = self._dense
        if dense is None or isinstance(dense, MoeClaimsError):
            return dense
        try:
            dense.check_fits(model.checkpoint)
            key = self._key(model, what="dense reference", dense=dense.identity)

            def run() -> Arrays:
                return measure_dense(model.checkpoint, dense, device=self.device).arrays()

            return DenseWeights.of(self._keeper.get_or_measure(key, run))
        except MoeClaimsError as error:
            return error

    def _sequences(self, model: OpenModel, name: str) -> texts.Sequences:
        """A text as the model reads it."""
        text = texts.load(name)
        read = texts.tokenize(text, model.encoder(), limit=self.settings.tokens, longest=model.context)
        texts.check_ids(
            read.ids, int(model.checkpoint.config["vocab_size"]), f"'{name}' as '{model.ref.name}' reads it"
        )
        return read

    def _routed(self, model: OpenModel, sequences: texts.Sequences, dense: DenseModel | None) -> RoutedMeasurement:
        def run() -> Arrays:
            layerwise = LayerwiseModel(model.checkpoint, device=self.device, dtype=self.settings.dtype)
            return measure_routed(layerwise, sequences.ids, dense=dense).arrays()

        parts = {} if dense is None else {"dense": dense.identity}
        key = self._key(model, what="routed", text=sequences.sha256, dtype=self.settings.dtype, **parts)
        return RoutedMeasurement.of(self._keeper.get_or_measure(key, run))

    def _second_routed(
        self, model: OpenModel, sequences: texts.Sequences, dense: DenseModel | None
    ) -> RoutedMeasurement | MoeClaimsError | None:
        second = self._second
        if second is None or isinstance(second, MoeClaimsError):
            return second
        try:
            check_same_shape(model, second)
            same = self._sequences(second, sequences.name)
            if same.ids != sequences.ids:
                raise NotComparableError(
                    f"'{second.ref.name}' reads '{sequences.name}' as other tokens than '{model.ref.name}': "
                    "--moe-second-model takes a model with the same tokenizer"
                )
            # Measured as it would be on its own account, so that it is in the store for that.
            return self._routed(second, same, dense if dense is not None and dense.fits(second.checkpoint) else None)
        except MoeClaimsError as error:
            return error

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


def check_same_shape(model: OpenModel, second: OpenModel) -> None:
    """Whether two models' choices can be compared expert by expert.

    Raises:
        NotComparableError: they differ in MoE layers, experts or top-k.
    """
    shapes = [(m.checkpoint.moe_layers, m.checkpoint.experts, m.checkpoint.top_k) for m in (model, second)]
    if shapes[0] != shapes[1]:
        said = [f"{len(layers)} MoE layers, top {k} of {experts}" for layers, experts, k in shapes]
        raise NotComparableError(
            f"'{second.ref.name}' ({said[1]}) has not the shape of '{model.ref.name}' ({said[0]}): "
            "--moe-second-model takes a model of the same architecture"
        )


def corpus_card(model: OpenModel, sequences: texts.Sequences, behaviour: RoutedMeasurement) -> dict[str, Any]:
    """What the report says about a text as one model read it."""
    predicted = behaviour.lengths - 1
    return {
        "name": sequences.name,
        "model": model.ref.name,
        "text_sha256": sequences.source_sha256,
        "source": sequences.source,
        "revision_sha": sequences.revision,
        "token_ids_sha256": sequences.sha256,
        "passages": sequences.passages,
        "sequences": len(sequences.ids),
        "tokens": sequences.tokens,
        "tokens_cut": sequences.tokens_cut,
        "nats_per_token": float((behaviour.nats * predicted).sum() / predicted.sum()),
    }
