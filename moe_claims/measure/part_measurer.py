"""The parts of a model's measurement, each measured by itself and kept layer by layer under all that it depends on."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import final

from moe_claims import __version__, texts
from moe_claims.measure import work
from moe_claims.measure.dense import Blocks
from moe_claims.measure.executor import Executor, LayerWork, LocalExecutor
from moe_claims.measure.measurement import (
    Arrays,
    DenseWeights,
    MatchingMeasurement,
    ProjectionMeasurement,
    RoutedMeasurement,
    WeightMeasurement,
)
from moe_claims.measure.projections import SAMPLE
from moe_claims.measure.store import Keeper, key_of
from moe_claims.models.device import check_dtype, fits, kind_of, sums_on
from moe_claims.models.families.table import ROLES, Role
from moe_claims.models.forward import experts_kernel
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.models.loading import OpenModel


@final
class PartMeasurer:
    """Measures parts of models; what has been measured before is taken from where it is kept.

    Args:
        keeper: keeps what was measured, such as a ``Store``.
        device: where weights are multiplied and models run, such as ``cpu`` or ``cuda:1``.
        dtype: of weights and hidden states in the forward pass, such as ``float32``.
        executor: does the measuring; this process, if none is given.
        stay_in_memory: whether the weights of the last model that ran stay in memory for the next text, if they fit.
    """

    def __init__(
        self,
        keeper: Keeper,
        *,
        device: str,
        dtype: str,
        executor: Executor | None = None,
        stay_in_memory: bool = False,
    ) -> None:
        check_dtype(device, dtype)
        self.device, self.dtype = device, dtype
        self._keeper = keeper
        self._executor: Executor = LocalExecutor() if executor is None else executor
        self._stay_in_memory = stay_in_memory
        self._running: tuple[OpenModel, LayerwiseModel] | None = None

    def weights(self, model: OpenModel) -> WeightMeasurement:
        """Similarities of the experts' weights.

        Raises:
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        layers = model.checkpoint.moe_layers
        return WeightMeasurement.of(
            layers,
            self._of_layers(model, layers, work.Weights(model.checkpoint, sums_on(self.device)), what="weights"),
        )

    def matching(self, model: OpenModel, layers: Sequence[int]) -> dict[Role, MatchingMeasurement]:
        """The neurons of all pairs of experts matched one to one, by matrix kind, in these layers (true indices).

        Raises:
            UsageError: a layer that is not an MoE layer.
            NotMeasuredError: not even one pair fits in memory.
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        found = {}
        for role in ROLES:
            of_role = work.Matching(model.checkpoint, role)
            arrays = self._of_layers(model, layers, of_role, what=f"matching {role}")
            found[role] = MatchingMeasurement.of(layers, arrays)
        return found

    def against(self, model: OpenModel, blocks: Blocks) -> DenseWeights:
        """The experts' weights against the blocks of a dense model, or against their own model's shared experts.

        Raises:
            NotComparableError: the blocks have another shape than the experts.
            ModelError: the blocks are shared experts of another model, a tensor is missing, or holds NaN or infinite
                numbers.
        """
        blocks.check_fits(model.checkpoint)
        return DenseWeights.of(
            self._of_layers(
                model,
                model.checkpoint.moe_layers,
                work.AgainstBlocks(model.checkpoint, blocks, sums_on(self.device)),
                what="dense reference",
                dense=blocks.identity,
            )
        )

    def projections(
        self, model: OpenModel, layers: Sequence[int], blocks: Blocks | None, *, seed: int
    ) -> ProjectionMeasurement:
        """Experts, and some of their neurons, in the plane of their first two principal components.

        Args:
            model: the model to measure.
            layers: true indices of the MoE layers.
            blocks: dense reference or shared experts, shown as one more expert; None for none.
            seed: decides which neurons are shown.

        Raises:
            ModelError: a tensor is missing, or holds NaN or infinite numbers.
        """
        found = self._of_layers(
            model,
            layers,
            work.Projections(model.checkpoint, blocks, seed, sums_on(self.device)),
            what=f"projections, at most {SAMPLE} neurons, seed {seed}",
            dense="" if blocks is None else blocks.identity,
        )
        return ProjectionMeasurement.of(layers, found)

    def routed(
        self, model: OpenModel, sequences: texts.Sequences, dense: Blocks | None, *, token_cosines: bool = False
    ) -> RoutedMeasurement:
        """What the routers and experts of a model do on a text.

        Args:
            model: the model to run.
            sequences: the text as the model reads it.
            dense: dense reference, or the model's shared experts, that answer the same hidden states; None for none.
            token_cosines: whether the cosines between the experts' outputs are kept for every single token, which
                takes (L, T, E, E) numbers.

        Raises:
            MoeClaimsError: the model cannot be run, or not on this text.
        """
        layers = model.checkpoint.moe_layers
        parts = {} if dense is None else {"dense": dense.identity}
        what = "routed, token by token" if token_cosines else "routed"
        parts |= {"what": what, "text": sequences.sha256, "dtype": self.dtype}
        keys = [self._key(model, layer=str(layer), **parts) for layer in layers]
        whole = self._key(model, **parts)

        def run(missing: Sequence[int]) -> Iterator[Arrays]:
            snapshot = self._keeper.snapshot(whole)
            wanted = [layers[number] for number in missing if number < len(layers)]
            text_pass = work.TextPass(self._layerwise(model), sequences.ids, wanted, dense, token_cosines, snapshot)
            for found in self._executor.map_models([text_pass]):
                yield from islice(found, len(missing))  # if nothing is missing of the whole, no layers behind are run
            snapshot.drop()

        *found, text = self._keeper.get_or_measure([*keys, whole], run)
        return RoutedMeasurement.of(layers, found, text)

    def _of_layers(self, model: OpenModel, layers: Sequence[int], of_layer: LayerWork, **parts: str) -> list[Arrays]:
        """What was found in each layer, kept layer by layer."""
        return self._keeper.get_or_measure(
            [self._key(model, layer=str(layer), **parts) for layer in layers],
            lambda missing: self._executor.map_layers(of_layer, [layers[number] for number in missing]),
        )

    def _layerwise(self, model: OpenModel) -> LayerwiseModel:
        """The model as it runs; if memory allows, its weights stay there for the next text."""
        if self._running is None or self._running[0] is not model:
            self._running = None  # before the next one takes memory
            layerwise = LayerwiseModel(model.checkpoint, device=self.device, dtype=self.dtype)
            layerwise.resident = self._stay_in_memory and fits(layerwise.bytes_as_it_runs, self.device)
            self._running = model, layerwise
        return self._running[1]

    def _key(self, model: OpenModel, **parts: str) -> str:
        import torch
        import transformers

        return key_of(
            weights=model.identity,
            config=model.checkpoint.config,
            device=kind_of(self.device),
            kernel=experts_kernel.VERSION,
            package=__version__,
            torch=torch.__version__,
            transformers=transformers.__version__,
            **parts,
        )
