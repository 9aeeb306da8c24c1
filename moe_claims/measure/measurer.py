"""A model measured as a run asks for it: weights, neurons, behaviour on every text, and what it is compared with."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, TypeVar, final

from moe_claims import texts
from moe_claims.errors import MoeClaimsError, NotComparableError
from moe_claims.measure.executor import Executor
from moe_claims.measure.matching import layers_to_match
from moe_claims.measure.measured import Deferred, Measured
from moe_claims.measure.measurement import DenseWeights, MatchingMeasurement, RoutedMeasurement, WeightMeasurement
from moe_claims.measure.part_measurer import PartMeasurer
from moe_claims.measure.sequences import corpus_card, read_text
from moe_claims.measure.store import Keeper
from moe_claims.models.dense import DenseModel, open_dense
from moe_claims.models.device import device_of
from moe_claims.models.families.table import Role
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.settings import Settings

M = TypeVar("M")


@final
class Measurer:
    """Measures models as a run's settings ask for it; what has been measured before is taken from where it is kept.

    Args:
        settings: device, dtype, texts, tokens, layers, dense reference and second model are heeded.
        keeper: keeps what was measured, such as a ``Store``.
        executor: does the measuring; this process, if none is given.
    """

    def __init__(self, settings: Settings, keeper: Keeper, executor: Executor | None = None) -> None:
        self.settings = settings
        self._keeper, self._executor = keeper, executor

    @cached_property
    def parts(self) -> PartMeasurer:
        """Measures the parts one by one, on the device and in the dtype of the settings.

        Raises:
            UsageError: the device is not there.
        """
        return PartMeasurer(
            self._keeper,
            device=device_of(self.settings.device),
            dtype=self.settings.dtype,
            executor=self._executor,
            stay_in_memory=len(self.settings.texts) > 1,
        )

    @cached_property
    def _dense(self) -> DenseModel | MoeClaimsError | None:
        ref = self.settings.dense_reference
        try:
            return None if ref is None else open_dense(ref, download=self.settings.download)
        except MoeClaimsError as error:  # claims that need no dense reference are tested all the same
            return error

    @cached_property
    def _second(self) -> OpenModel | MoeClaimsError | None:
        ref = self.settings.second_model
        try:
            return None if ref is None else open_model(ref, download=self.settings.download)
        except MoeClaimsError as error:
            return error

    def measure(self, model: OpenModel) -> tuple[dict[str, Measured], list[dict[str, Any]]]:
        """Everything that the settings ask for of a model; each part is measured when it is first read.

        Args:
            model: the model to measure.

        Returns:
            By the name of each text, the measurements on it and those of the weights; and a list which a card for the
            report is added to for each text once the model was run on it. A part that could not be measured is the
            error that stopped it.
        """
        weights: Deferred[WeightMeasurement] = Deferred(lambda: self.parts.weights(model))
        matching: Deferred[Mapping[Role, MatchingMeasurement]] = Deferred(
            lambda: self.parts.matching(model, layers_to_match(model.checkpoint, self.settings.layers))
        )
        dense: Deferred[DenseWeights] | None = None
        if self._dense is not None:
            dense = Deferred(lambda: self.parts.against(model, _raised(self._dense)))
        cards: list[dict[str, Any]] = []

        def fitting() -> DenseModel | None:
            # One that does not fit, or whose weights cannot be read, is not run: it would stop the text too.
            fits = dense is not None and not isinstance(dense.get(), MoeClaimsError)
            return self._dense if fits and isinstance(self._dense, DenseModel) else None

        def run(name: str) -> RoutedMeasurement:
            sequences = self.sequences(model, name)
            found = self.parts.routed(model, sequences, fitting())
            cards.append(corpus_card(model, sequences, found))
            return found

        def run_second(name: str) -> RoutedMeasurement:
            return self._second_routed(model, self.sequences(model, name), fitting())

        behaviour: dict[str, Deferred[RoutedMeasurement]] = {
            name: Deferred(partial(run, name)) for name in self.settings.texts
        }
        every: Deferred[dict[str, RoutedMeasurement | MoeClaimsError]] = Deferred(
            lambda: {name: text.get() for name, text in behaviour.items()}
        )
        return {
            name: Measured(
                weights,
                text,
                matching,
                dense,
                None if self._second is None else Deferred(partial(run_second, name)),
                every,
            )
            for name, text in behaviour.items()
        }, cards

    def not_opened(self) -> list[MoeClaimsError]:
        """Opens the models that others are compared with; returns the errors of those that cannot be opened."""
        return [found for found in (self._dense, self._second) if isinstance(found, MoeClaimsError)]

    def depends_on(self, model: OpenModel) -> dict[str, Any]:
        """Everything that the measurements of a model depend on besides code and libraries, as plain JSON values.

        Raises:
            MoeClaimsError: a text cannot be read, or a model that it is compared with cannot be opened.
        """
        dense = None if self._dense is None else _raised(self._dense)
        second = None if self._second is None else _raised(self._second)
        given = self.settings
        return {
            "weights": model.identity,
            "config": model.checkpoint.config,
            "device": self.parts.device,
            "texts": {name: self.sequences(model, name).sha256 for name in given.texts},
            "dense": None if dense is None else dense.identity,
            "second": None if second is None else [second.identity, second.checkpoint.config, second.ref.name],
            "options": [given.dtype, given.tokens, given.layers],
        }

    def sequences(self, model: OpenModel, name: str) -> texts.Sequences:
        """A text as the model reads it, as many tokens as the settings ask for.

        Raises:
            MoeClaimsError: the text cannot be had, is too short, or the model has no tokenizer for it.
        """
        return read_text(model, name, tokens=self.settings.tokens)

    def _second_routed(
        self, model: OpenModel, sequences: texts.Sequences, dense: DenseModel | None
    ) -> RoutedMeasurement:
        second = _raised(self._second)
        check_same_shape(model, second)
        same = self.sequences(second, sequences.name)
        if same.ids != sequences.ids:
            raise NotComparableError(
                f"'{second.ref.name}' reads '{sequences.name}' as other tokens than '{model.ref.name}': "
                "--moe-second-model takes a model with the same tokenizer"
            )
        # Measured as it would be on its own account, so that it is in the store for that.
        answers = dense if dense is not None and dense.fits(second.checkpoint) else None
        return self.parts.routed(second, same, answers)


def _raised(opened: M | MoeClaimsError | None) -> M:
    """What was opened; raises the error that stopped it."""
    if isinstance(opened, MoeClaimsError):
        raise opened
    assert opened is not None
    return opened


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
