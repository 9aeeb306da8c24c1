"""Sums over the tokens of one MoE layer: what its router and experts do on a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from moe_claims.errors import ModelError
from moe_claims.measure.activations import IndexCorrelation
from moe_claims.measure.dense import DenseLayer, append_dense
from moe_claims.models.forward.batches import MicroBatch
from moe_claims.models.forward.experts_kernel import ExpertBatch

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


def wide(tensor: "torch.Tensor") -> "torch.Tensor":
    """A tensor in float32, or in float64 where it is that already."""
    import torch

    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@final
class RouterScores:
    """The router logits of one layer, recomputed from its router's input and checked against the experts it chose.

    Args:
        router: (E, d) router rows.
        where: the layer, for messages.
        bias: (E,) what the router adds to its scores.
        factor: what the router multiplies its scores by.
    """

    def __init__(
        self, router: "torch.Tensor", where: str, *, bias: "torch.Tensor | None" = None, factor: float = 1.0
    ) -> None:
        self._router, self._bias, self._factor = router, bias, factor
        self._where = where

    def of(self, batch: ExpertBatch, real: "torch.Tensor") -> "torch.Tensor":
        """The (r, E) logits of the r real tokens of a chunk.

        Args:
            batch: n tokens as the layer ran them.
            real: (n,) bool, which of them are no padding.

        The recomputed scores must be those of the router, rounding apart: either the experts of the k
        largest ones were chosen, or, where other rules have a say (groups of experts, a bias that
        balances their loads), the router itself returned them.

        Raises:
            ModelError: the recomputed scores are others, or the hidden states are not finite.
        """
        import torch

        asked = wide(batch.router_input[real])
        logits = asked @ self._router.to(asked.dtype).T
        if self._bias is not None:
            logits += self._bias.to(logits)
        logits *= self._factor
        answers = [wide(answer[real]) for answer in batch.router_outputs]
        self._check(logits, batch.chosen[real], answers, torch.finfo(batch.hidden.dtype).eps)
        return logits

    def _check(
        self, logits: "torch.Tensor", chosen: "torch.Tensor", answers: "list[torch.Tensor]", rounding: float
    ) -> None:
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


@final
class LayerAccumulator:
    """Adds up what one MoE layer does while its micro-batches run; padding is left out.

    Args:
        router: (E, d) router rows, from which the scores are recomputed.
        batches: the micro-batches, in the order in which they will run.
        sequences: number S of sequences.
        where: the layer, for messages.
        token_cosines: whether the cosines of every single token are kept too, E² numbers each.
        dense: the dense reference's block of this layer; its weights are released after the last token.
        bias: (E,) what the router adds to its scores.
        factor: what the router multiplies its scores by.
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
        factor: float = 1.0,
    ) -> None:
        import torch

        self._scores = RouterScores(router, where, bias=bias, factor=factor)
        self._real = torch.cat([batch.mask.reshape(-1) for batch in batches]).to(router.device)
        self._sequence = torch.cat([batch.sequence_of for batch in batches]).to(router.device)
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
        self._dense, self._has_dense = dense, dense is not None
        self.dense_angular = zeros(sequences, experts)
        self.dense_cosines: list[torch.Tensor] = []

    def observe(self, batch: ExpertBatch) -> None:
        """Takes the next chunk of tokens of the layer."""
        import torch

        here = slice(self._next, self._next + len(batch.hidden))
        self._next = here.stop
        real, sequence = self._real[here], self._sequence[here]
        outputs, chosen = wide(batch.outputs[real]), batch.chosen[real]
        self.logits.append(self._scores.of(batch, real).cpu())
        self.norms.append(outputs.norm(dim=-1).cpu())
        self.chosen.append(chosen.to("cpu").short())
        similarity = cosines(outputs)
        alike = angular(similarity)
        self.angular.index_add_(0, sequence[real], alike)
        self.chosen_similarity.index_add_(0, sequence[real], among_chosen(alike, chosen))
        if self._dense is not None:
            to_dense = cosines_to(outputs, wide(self._dense.outputs(batch.hidden[real])))
            self.dense_angular.index_add_(0, sequence[real], angular(to_dense))
            if self.cosines is not None:
                self.dense_cosines.append(to_dense.to(torch.float32).cpu())
            if self._next == len(self._real):
                self._dense = None
        if self.cosines is not None:
            self.cosines.append(similarity.to(torch.float32).cpu())
        self._observe_activations(batch.activations[real], sequence[real])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The sums of the layer, under the names of the fields of ``RoutedMeasurement``, less its layer axis."""
        import torch

        assert self.index is not None  # the layer has seen its tokens by now
        tensors = {
            "router_logits": torch.cat(self.logits),
            "output_norms": torch.cat(self.norms),
            "chosen": torch.cat(self.chosen),
            "angular_sums": self.angular,
            "chosen_similarity": self.chosen_similarity,
            "active_sums": self.active,
            "magnitude_sums": self.magnitude,
            "index_sums": self.index.sums,
            "index_shifted": self.index.shifted(),
        }
        if self._has_dense:
            tensors["dense_sums"] = self.dense_angular
        found = {name: np.asarray(tensor.cpu().numpy()) for name, tensor in tensors.items()}
        if self.cosines is not None:
            cosines = torch.cat(self.cosines).numpy()
            found["token_cosines"] = (
                append_dense(cosines, torch.cat(self.dense_cosines).numpy()) if self._has_dense else cosines
            )
        return found

    def _observe_activations(self, activations: "torch.Tensor", sequence: "torch.Tensor") -> None:
        values = wide(activations)
        magnitude = values.abs()
        self.active.index_add_(0, sequence, (magnitude > ACTIVE).sum(dim=-1).double() / values.shape[-1])
        self.magnitude.index_add_(0, sequence, magnitude.mean(dim=-1).double())
        if self.index is None:
            _, experts, neurons = values.shape
            self.index = IndexCorrelation(self._sequences, experts, neurons, values.device)
        self.index.observe(values, sequence)
