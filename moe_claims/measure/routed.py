"""What router and experts do on a text, measured where they run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from moe_claims.errors import ModelError
from moe_claims.measure.activations import IndexCorrelation
from moe_claims.measure.dense import DenseLayer, append_dense
from moe_claims.measure.measurement import Floats, RoutedMeasurement
from moe_claims.models.dense import DenseModel
from moe_claims.models.forward import LayerwiseModel, MicroBatch, micro_batches, pad
from moe_claims.models.kernel import ExpertBatch
from moe_claims.progress import track

if TYPE_CHECKING:
    import torch

ACTIVE = 0.001
"""Activations larger than this in magnitude count as active (paper, appendix H)."""


def cosines(outputs: "torch.Tensor") -> "torch.Tensor":
    """(n, E, d) expert outputs → (n, E, E) cosine similarities, float64, ones on the diagonal.

    An output of zero has no direction: its similarity to any other is 0, as at a right angle.
    """
    import torch

    unit = torch.nn.functional.normalize(outputs.double(), dim=-1)
    similarity = (unit @ unit.transpose(1, 2)).clamp(-1.0, 1.0)
    similarity.diagonal(dim1=1, dim2=2).fill_(1.0)
    return similarity


def cosines_to(outputs: "torch.Tensor", reference: "torch.Tensor") -> "torch.Tensor":
    """(n, E, d) expert outputs and (n, d) others → (n, E) cosine similarities, float64; 0 for an output of zero."""
    import torch

    unit, base = (torch.nn.functional.normalize(x.double(), dim=-1) for x in (outputs, reference))
    return torch.einsum("ned,nd->ne", unit, base).clamp(-1.0, 1.0)


def angular(similarity: "torch.Tensor") -> "torch.Tensor":
    """Cosine similarities → angular ones, 1 − arccos(cosine)/π, which may be averaged."""
    import torch

    return 1.0 - torch.arccos(similarity) / torch.pi


def among_chosen(similarity: "torch.Tensor", chosen: "torch.Tensor") -> "torch.Tensor":
    """(n, E, E) similarities and (n, k) chosen experts → (n, 2) their mean among chosen, and among other experts.

    0 where fewer than two experts are left to compare.
    """
    import torch

    count, experts, _ = similarity.shape
    is_chosen = torch.zeros(count, experts, dtype=similarity.dtype, device=similarity.device)
    is_chosen.scatter_(1, chosen.long(), 1.0)
    means = []
    for member in (is_chosen, 1.0 - is_chosen):
        size = member.sum(dim=1)
        whole = torch.einsum("ne,nef,nf->n", member, similarity, member)
        own = (member * similarity.diagonal(dim1=1, dim2=2)).sum(dim=1)
        means.append((whole - own) / (size * (size - 1)).clamp_min(1.0))
    return torch.stack(means, dim=1)


def _wide(tensor: "torch.Tensor") -> "torch.Tensor":
    """float32, or float64 where it already is."""
    import torch

    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@final
class LayerAccumulator:
    """Sums up one MoE layer while its micro-batches go by; padding never enters.

    Args:
        router: (E, d) router rows, from which the scores are recomputed.
        batches: the micro-batches, in the order in which they will run.
        sequences: number S of sequences.
        where: the layer, for messages.
        token_cosines: keep every token's cosines too, E² numbers each.
        dense: the dense reference's block of this layer; let go after the last token.
        bias: (E,) what the router adds to its scores.
    """

    def __init__(
        self,
        router: "torch.Tensor",
        batches: Sequence[MicroBatch],
        sequences: int,
        where: str,
        *,
        token_cosines: bool = False,
        dense: DenseLayer | None = None,
        bias: "torch.Tensor | None" = None,
    ) -> None:
        import torch

        self._router, self._bias = router, bias
        self._where = where
        self._real = torch.cat([batch.mask.reshape(-1) for batch in batches])
        self._sequence = torch.cat([batch.sequence_of for batch in batches])
        self._next = 0
        experts = len(router)
        self._sequences = sequences

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=router.device)

        self.angular = zeros(sequences, experts, experts)
        self.chosen_similarity = zeros(sequences, 2)
        self.active = zeros(sequences, experts)
        self.magnitude = zeros(sequences, experts)
        self.index: IndexCorrelation | None = None
        self.logits: list[torch.Tensor] = []
        self.norms: list[torch.Tensor] = []
        self.chosen: list[torch.Tensor] = []
        self.cosines: list[torch.Tensor] | None = [] if token_cosines else None
        self._dense = dense
        self.dense_angular = zeros(sequences, experts)
        self.dense_cosines: list[torch.Tensor] = []

    def observe(self, batch: ExpertBatch) -> None:
        """Takes the next chunk of tokens of the layer."""
        import torch

        here = slice(self._next, self._next + len(batch.hidden))
        self._next = here.stop
        real, sequence = self._real[here], self._sequence[here]
        outputs, hidden = _wide(batch.outputs[real]), _wide(batch.hidden[real])
        logits = _wide(batch.asked[real]) @ self._router.to(hidden.dtype).T
        if self._bias is not None:
            logits += self._bias.to(logits)
        chosen = batch.chosen[real]
        answers = [_wide(answer[real]) for answer in batch.answers]
        self._check_routing(logits, chosen, answers, torch.finfo(batch.hidden.dtype).eps)
        self.logits.append(logits.cpu())
        self.norms.append(outputs.norm(dim=-1).cpu())
        self.chosen.append(chosen.to("cpu").short())
        similarity = cosines(outputs)
        alike = angular(similarity)
        self.angular.index_add_(0, sequence[real], alike)
        self.chosen_similarity.index_add_(0, sequence[real], among_chosen(alike, chosen))
        if self._dense is not None:
            to_dense = cosines_to(outputs, _wide(self._dense.outputs(batch.hidden[real])))
            self.dense_angular.index_add_(0, sequence[real], angular(to_dense))
            if self.cosines is not None:
                self.dense_cosines.append(to_dense.to(torch.float32).cpu())
            if self._next == len(self._real):
                self._dense = None
        if self.cosines is not None:
            self.cosines.append(similarity.to(torch.float32).cpu())
        self._observe_activations(batch.activations[real], sequence[real])

    def _observe_activations(self, activations: "torch.Tensor", sequence: "torch.Tensor") -> None:
        wide = _wide(activations)
        magnitude = wide.abs()
        self.active.index_add_(0, sequence, (magnitude > ACTIVE).sum(dim=-1).double() / wide.shape[-1])
        self.magnitude.index_add_(0, sequence, magnitude.mean(dim=-1).double())
        if self.index is None:
            _, experts, neurons = wide.shape
            self.index = IndexCorrelation(self._sequences, experts, neurons, wide.device)
        self.index.observe(wide, sequence)

    def _check_routing(
        self, logits: "torch.Tensor", chosen: "torch.Tensor", answers: "list[torch.Tensor]", rounding: float
    ) -> None:
        """The recomputed scores must be those of the router, rounding apart.

        Either the experts of the k largest ones were chosen, or, where other rules have a say
        (groups of experts, a bias that balances their loads), the router itself returned them.
        """
        import torch

        if not bool(torch.isfinite(logits).all()):
            raise ModelError(f"{self._where}: the hidden states hold NaN or infinite numbers on this text")
        top = logits.topk(chosen.shape[1], dim=-1).values
        used = logits.gather(1, chosen.long()).sort(dim=-1, descending=True).values

        def near(values: torch.Tensor, others: torch.Tensor, size: torch.Tensor) -> bool:
            slack = max(1e-3, 8 * rounding) * size.abs().amax(dim=-1, keepdim=True).clamp_min(1e-6)
            return bool(torch.all((values - others).abs() <= slack))

        forms = (logits, logits.softmax(dim=-1), logits.sigmoid())
        if not near(top, used, logits) and not any(near(a, form, form) for a in answers for form in forms):
            raise ModelError(
                f"{self._where}: the experts that the model chose are not those of the largest recomputed router "
                "scores, and its router returned other scores: it cannot be measured so far"
            )


def measure_routed(
    model: LayerwiseModel,
    sequences: Sequence[Sequence[int]],
    *,
    token_cosines: bool = False,
    dense: DenseModel | None = None,
) -> RoutedMeasurement:
    """Runs the sequences through the model and measures every MoE layer on the way.

    Args:
        model: to be run layer by layer.
        sequences: token ids, used exactly as given.
        token_cosines: keep the (L, T, E, E) cosines of single tokens too; large.
        dense: dense reference of the same shape, whose blocks answer the same hidden states; last of the experts in
            the cosines of single tokens.

    Raises:
        NotComparableError: the dense reference has another shape.
        ModelError: the model routes by another rule than its family's, or yields NaN.
    """
    import torch

    if dense is not None:
        dense.check_fits(model.checkpoint)
    alone = model.checkpoint.family.alone
    batches = [pad(sequences, *bounds, model.device) for bounds in micro_batches(sequences, alone=alone)]
    layers: dict[int, LayerAccumulator] = {}

    def observer(layer: int, router: "torch.Tensor") -> LayerAccumulator:
        where = f"'{model.checkpoint.name}', layer {layer}"
        block = None if dense is None else DenseLayer(dense, layer, model.checkpoint.config)
        layers[layer] = LayerAccumulator(
            router,
            batches,
            len(sequences),
            where,
            token_cosines=token_cosines,
            dense=block,
            bias=model.checkpoint.router_bias(layer),
        )
        return layers[layer]

    hidden = model.run(batches, observer)
    nats = [
        _nats(model, states, sequence)
        for states, sequence in track(zip(hidden, sequences, strict=True), "next-token loss", total=len(sequences))
    ]
    if not np.isfinite(nats).all():
        raise ModelError(f"'{model.checkpoint.name}' yields NaN on this text: nothing was measured")
    ordered = [layers[layer] for layer in model.checkpoint.moe_layers]
    return RoutedMeasurement(
        layers=np.asarray(model.checkpoint.moe_layers),
        lengths=np.asarray([len(sequence) for sequence in sequences]),
        router_logits=torch.stack([torch.cat(layer.logits) for layer in ordered]).numpy(),
        output_norms=torch.stack([torch.cat(layer.norms) for layer in ordered]).numpy(),
        chosen=torch.stack([torch.cat(layer.chosen) for layer in ordered]).numpy(),
        angular_sums=torch.stack([layer.angular.cpu() for layer in ordered]).numpy(),
        nats=np.asarray(nats),
        chosen_similarity=torch.stack([layer.chosen_similarity.cpu() for layer in ordered]).numpy(),
        active_sums=torch.stack([layer.active.cpu() for layer in ordered]).numpy(),
        magnitude_sums=torch.stack([layer.magnitude.cpu() for layer in ordered]).numpy(),
        index_sums=torch.stack([_index(layer).sums.cpu() for layer in ordered]).numpy(),
        index_shifted=torch.stack([_index(layer).shifted() for layer in ordered]).numpy(),
        dense_sums=None if dense is None else torch.stack([layer.dense_angular.cpu() for layer in ordered]).numpy(),
        token_cosines=_token_cosines(ordered) if token_cosines else None,
    )


def _token_cosines(layers: Sequence[LayerAccumulator]) -> Floats:
    """(L, T, E, E) cosines of single tokens; (L, T, E + 1, E + 1) with a dense reference."""
    import torch

    experts = torch.stack([torch.cat(layer.cosines or []) for layer in layers]).numpy()
    if not layers[0].dense_cosines:
        return experts
    return append_dense(experts, torch.stack([torch.cat(layer.dense_cosines) for layer in layers]).numpy())


def _index(layer: LayerAccumulator) -> IndexCorrelation:
    assert layer.index is not None  # every layer has seen its tokens by now
    return layer.index


def _nats(model: LayerwiseModel, hidden: "torch.Tensor", sequence: Sequence[int]) -> float:
    import torch

    logits = _wide(model.logits(hidden)[:-1])
    targets = torch.tensor(sequence[1:], device=logits.device)
    return float(torch.nn.functional.cross_entropy(logits, targets))
