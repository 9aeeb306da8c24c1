"""One model measured for the claims: weights, neurons, behaviour on every text, and what it is compared with."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, final

from moe_claims import __version__, texts
from moe_claims.analysis.measured import Measured
from moe_claims.errors import MoeClaimsError, NotComparableError
from moe_claims.measure.dense import Blocks, dense_layers
from moe_claims.measure.matching import layers_to_match, match_layers
from moe_claims.measure.measurement import (
    DenseWeights,
    MatchingMeasurement,
    ProjectionMeasurement,
    RoutedMeasurement,
    WeightMeasurement,
)
from moe_claims.measure.projections import SAMPLE, projection_layers
from moe_claims.measure.routed import routed_layers
from moe_claims.measure.store import Arrays, Keeper, key_of
from moe_claims.measure.weights import measure_layers
from moe_claims.models import kernel
from moe_claims.models.dense import DenseModel, open_dense
from moe_claims.models.device import device_of, fits
from moe_claims.models.families import ROLES, Role
from moe_claims.models.forward import LayerwiseModel
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.settings import Settings


@final
class Measurer:
    """Measures models as a run's settings ask for, and lets a keeper keep what was measured."""

    def __init__(self, settings: Settings, keeper: Keeper) -> None:
        self.settings = settings
        self._keeper = keeper
        self._running: tuple[OpenModel, LayerwiseModel] | None = None

    @cached_property
    def device(self) -> str:
        """Where the forward passes run."""
        return device_of(self.settings.device)

    @cached_property
    def _dense(self) -> DenseModel | MoeClaimsError | None:
        ref = self.settings.dense_reference
        try:
            return None if ref is None else open_dense(ref, download=self.settings.download)
        except MoeClaimsError as error:  # the claims that need none stand without it
            return error

    @cached_property
    def _second(self) -> OpenModel | MoeClaimsError | None:
        ref = self.settings.second_model
        try:
            return None if ref is None else open_model(ref, download=self.settings.download)
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
        weights = self.weights(model)
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
                sequences = self.sequences(model, name)
                found = behaviour[name] = self.routed(model, sequences, dense)
                cards.append(corpus_card(model, sequences, found))
                second[name] = self._second_routed(model, sequences, dense)
            except MoeClaimsError as error:  # the claims on weights stand without it
                behaviour[name] = second[name] = error
        return {
            name: Measured(weights, text, matching, against_dense, second[name], behaviour)
            for name, text in behaviour.items()
        }, cards

    def weights(self, model: OpenModel) -> WeightMeasurement:
        """Similarities of the experts' weights.

        Raises:
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        layers = model.checkpoint.moe_layers
        return WeightMeasurement.of(
            layers,
            self._of_layers(
                model, layers, lambda some: measure_layers(model.checkpoint, some, device=self.device), what="weights"
            ),
        )

    def _matching(self, model: OpenModel) -> Mapping[Role, MatchingMeasurement] | MoeClaimsError:
        try:
            layers = layers_to_match(model.checkpoint, self.settings.layers)
            return {role: self._matched(model, role, layers) for role in ROLES}
        except MoeClaimsError as error:
            return error

    def _matched(self, model: OpenModel, role: Role, layers: Sequence[int]) -> MatchingMeasurement:
        found = self._of_layers(
            model, layers, lambda some: match_layers(model.checkpoint, role, some), what=f"matching {role}"
        )
        return MatchingMeasurement.of(layers, found)

    def _against_dense(self, model: OpenModel) -> DenseWeights | MoeClaimsError | None:
        dense = self._dense
        if dense is None or isinstance(dense, MoeClaimsError):
            return dense
        try:
            return self.against(model, dense)
        except MoeClaimsError as error:
            return error

    def against(self, model: OpenModel, blocks: Blocks) -> DenseWeights:
        """The experts' weights against a dense model's, or against their own model's shared experts.

        Raises:
            MoeClaimsError: these cannot be compared, or not be read.
        """
        blocks.check_fits(model.checkpoint)
        return DenseWeights.of(
            self._of_layers(
                model,
                model.checkpoint.moe_layers,
                lambda some: dense_layers(model.checkpoint, blocks, some, device=self.device),
                what="dense reference",
                dense=blocks.identity,
            )
        )

    def projections(
        self, model: OpenModel, layers: Sequence[int], blocks: Blocks | None, *, seed: int
    ) -> ProjectionMeasurement:
        """Experts and some of their neurons in two principal components, of these layers.

        Raises:
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        found = self._of_layers(
            model,
            layers,
            lambda some: projection_layers(model.checkpoint, some, blocks, seed=seed, device=self.device),
            what=f"projections, at most {SAMPLE} neurons, seed {seed}",
            dense="" if blocks is None else blocks.identity,
        )
        return ProjectionMeasurement.of(layers, found)

    def _of_layers(
        self, model: OpenModel, layers: Sequence[int], measure: Callable[[list[int]], Iterable[Arrays]], **parts: str
    ) -> list[Arrays]:
        """What was found in each layer, kept layer by layer."""
        return self._keeper.get_or_measure(
            [self._key(model, layer=str(layer), **parts) for layer in layers],
            lambda missing: measure([layers[number] for number in missing]),
        )

    def sequences(self, model: OpenModel, name: str) -> texts.Sequences:
        """A text as the model reads it.

        Raises:
            MoeClaimsError: the text cannot be had, is too short, or the model has no tokenizer for it.
        """
        text = texts.load(name)
        read = texts.tokenize(text, model.encoder(), limit=self.settings.tokens, longest=model.context)
        texts.check_ids(read.ids, model.checkpoint.vocabulary, f"'{name}' as '{model.ref.name}' reads it")
        return read

    def routed(
        self, model: OpenModel, sequences: texts.Sequences, dense: Blocks | None, *, token_cosines: bool = False
    ) -> RoutedMeasurement:
        """What router and experts do on a text.

        Args:
            model: to be run.
            sequences: the text as it reads it.
            dense: dense reference, or shared experts, that answer the same hidden states.
            token_cosines: keep those of single tokens too; for a few tokens alone.

        Raises:
            MoeClaimsError: the model cannot be run, or not on this text.
        """
        layers = model.checkpoint.moe_layers
        parts = {} if dense is None else {"dense": dense.identity}
        what = "routed, token by token" if token_cosines else "routed"
        parts |= {"what": what, "text": sequences.sha256, "dtype": self.settings.dtype}
        keys = [self._key(model, layer=str(layer), **parts) for layer in layers]
        whole = self._key(model, **parts)

        def run(missing: Sequence[int]) -> Iterator[Arrays]:
            snapshot = self._keeper.snapshot(whole)
            wanted = [layers[number] for number in missing if number < len(layers)]
            found = routed_layers(
                self._layerwise(model),
                sequences.ids,
                wanted,
                token_cosines=token_cosines,
                dense=dense,
                snapshot=snapshot,
            )
            yield from islice(found, len(missing))  # if nothing is missing of the whole, no layers behind are run
            snapshot.drop()

        *found, text = self._keeper.get_or_measure([*keys, whole], run)
        return RoutedMeasurement.of(layers, found, text)

    def _layerwise(self, model: OpenModel) -> LayerwiseModel:
        """The model as it runs; if memory allows, its weights stay there for the next text."""
        if self._running is None or self._running[0] is not model:
            self._running = None  # before the next one takes memory
            layerwise = LayerwiseModel(model.checkpoint, device=self.device, dtype=self.settings.dtype)
            layerwise.resident = len(self.settings.texts) > 1 and fits(layerwise.bytes_as_it_runs, self.device)
            self._running = model, layerwise
        return self._running[1]

    def _second_routed(
        self, model: OpenModel, sequences: texts.Sequences, dense: DenseModel | None
    ) -> RoutedMeasurement | MoeClaimsError | None:
        second = self._second
        if second is None or isinstance(second, MoeClaimsError):
            return second
        try:
            check_same_shape(model, second)
            same = self.sequences(second, sequences.name)
            if same.ids != sequences.ids:
                raise NotComparableError(
                    f"'{second.ref.name}' reads '{sequences.name}' as other tokens than '{model.ref.name}': "
                    "--moe-second-model takes a model with the same tokenizer"
                )
            # Measured as it would be on its own account, so that it is in the store for that.
            return self.routed(second, same, dense if dense is not None and dense.fits(second.checkpoint) else None)
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
