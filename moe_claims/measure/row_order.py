"""Expert outputs in token order, and in the order of rows that the published code for Grok-1 records.

That code lets an expert run on the tokens that it was chosen for, ordered by (rank among the
chosen, token). Where k of E experts are chosen this gathers their tokens; where all are chosen, so
that all outputs can be recorded, it reorders the tokens, in another way for every expert.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from moe_claims.errors import ModelError, NotComparableError
from moe_claims.measure.accumulator import RouterScores, angular, cosines, wide
from moe_claims.measure.measurement import Floats, RowOrderMeasurement, RowsInOrder
from moe_claims.models.forward.batches import MicroBatch, micro_batches, pad, tokens_at_once
from moe_claims.models.forward.experts_kernel import ExpertBatch
from moe_claims.models.forward.layerwise import LayerwiseModel
from moe_claims.stats.association import centred_ranks

if TYPE_CHECKING:
    import torch


def measure_row_order(model: LayerwiseModel, sequences: Sequence[Sequence[int]]) -> RowOrderMeasurement:
    """Runs the sequences through the model and compares the two orders in every MoE layer.

    Args:
        model: the model, which is run layer by layer with its ordinary routing.
        sequences: token ids, used exactly as given; each stands for one forward pass of the published code.

    Raises:
        NotComparableError: the model has a single expert.
        ModelError: the model routes by another rule than its family's, or yields NaN.
    """
    checkpoint = model.checkpoint
    if checkpoint.experts < 2:
        raise NotComparableError("the order of rows matters between experts, and this model has 1")
    bounds = micro_batches(sequences, tokens=tokens_at_once(model.width, model.device), alone=checkpoint.alone)
    batches = [pad(sequences, *bound, model.device) for bound in bounds]
    at_work: dict[int, RowOrderAccumulator] = {}

    def observer(layer: int, router: "torch.Tensor") -> RowOrderAccumulator:
        where = f"'{checkpoint.name}', layer {layer}"
        scores = RouterScores(router, where, bias=checkpoint.router_bias(layer), factor=checkpoint.score_factor)
        at_work[layer] = RowOrderAccumulator(scores, batches, where)
        return at_work[layer]

    ran = [state.layer for state in model.steps(batches, observer)]
    # (L, S, 7): three numbers in either order, and the share of misplaced rows.
    found = np.asarray([at_work[layer].by_sequence for layer in ran if layer in at_work], dtype=np.float64)
    return RowOrderMeasurement(
        model=checkpoint.name,
        layers=np.asarray(checkpoint.moe_layers),
        lengths=np.asarray([len(sequence) for sequence in sequences]),
        by_token=RowsInOrder(*np.moveaxis(found[..., :3], -1, 0)),
        published=RowsInOrder(*np.moveaxis(found[..., 3:6], -1, 0)),
        misplaced=found[..., 6],
    )


def published_rows(logits: "torch.Tensor") -> "torch.Tensor":
    """(n, E) router logits of one sequence → (n, E) token that row j of expert e holds as published.

    First all tokens for which e has the highest logit, in order, then those for which it has the second
    highest, and so on. Of two equal logits that of the first expert counts as the higher.
    """
    rank = logits.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return rank.argsort(dim=0, stable=True)


@final
class RowOrderAccumulator:
    """Compares both orders in one MoE layer; the outputs of one micro-batch are in memory at a time.

    Args:
        scores: of the layer's router.
        batches: the micro-batches, in the order in which they will run.
        where: the layer, for messages.
    """

    def __init__(self, scores: RouterScores, batches: Sequence[MicroBatch], where: str) -> None:
        self._scores, self._where = scores, where
        self._coming = list(batches)
        self._logits: list[torch.Tensor] = []
        self._outputs: list[torch.Tensor] = []
        self.by_sequence: list[tuple[float, ...]] = []
        """For each sequence: similarity, association and diagonal by token, the same as published, misplaced."""

    def observe(self, batch: ExpertBatch) -> None:
        """Takes the next chunk of tokens of the layer.

        Raises:
            ModelError: the router's scores are not those recomputed, or an output is not finite.
        """
        import torch

        mask = self._coming[0].mask.to(batch.hidden.device)
        stop = batch.start + len(batch.hidden)
        real = mask.reshape(-1)[batch.start : stop]
        outputs = wide(batch.outputs[real])
        if not bool(torch.isfinite(outputs).all()):
            raise ModelError(f"{self._where}: the experts yield NaN or infinite numbers on this text")
        self._logits.append(self._scores.of(batch, real))
        self._outputs.append(outputs)
        if stop == mask.numel():
            lengths = mask.sum(dim=1).tolist()
            parts = (torch.cat(chunks).split(lengths) for chunks in (self._logits, self._outputs))
            self.by_sequence += [_both_orders(*sequence) for sequence in zip(*parts, strict=True)]
            del self._coming[0], self._logits[:], self._outputs[:]


def _both_orders(logits: "torch.Tensor", outputs: "torch.Tensor") -> tuple[float, ...]:
    """(n, E) router logits and (n, E, d) outputs of one sequence → its seven numbers."""
    import torch

    published = published_rows(logits)
    tokens = torch.arange(len(logits), device=logits.device)[:, None].expand_as(published)
    misplaced = float((published != tokens).double().mean())
    scores = logits.cpu().numpy()
    return *_in_order(scores, outputs, tokens), *_in_order(scores, outputs, published), misplaced


def _in_order(scores: Floats, outputs: "torch.Tensor", rows: "torch.Tensor") -> tuple[float, float, float]:
    """Similarity, association and diagonal when row j of expert e holds token ``rows[j, e]``."""
    taken = outputs.gather(0, rows[:, :, None].expand_as(outputs))
    _, experts, _ = taken.shape
    alike = angular(cosines(taken)).sum(dim=(1, 2)) - experts  # each is 1 to itself
    norms = taken.norm(dim=-1).cpu().numpy()
    return (
        float(alike.mean()) / (experts * (experts - 1)),
        float((centred_ranks(norms) * centred_ranks(scores)).sum(axis=-1).mean()),
        float((_ranks(norms) == _ranks(scores)).mean()),
    )


def _ranks(values: Floats) -> NDArray[np.int64]:
    """(n, E) → rank of each expert in its row, 0 the smallest."""
    return values.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
