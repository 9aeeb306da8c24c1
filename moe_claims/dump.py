"""``python -m moe_claims measure``: the numbers themselves, for comparison with other implementations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_claims import texts
from moe_claims.errors import UsageError
from moe_claims.measure.dense import Blocks, append_dense, measure_dense
from moe_claims.measure.matching import measure_matching
from moe_claims.measure.measurement import DenseWeights, RoutedMeasurement, WeightMeasurement
from moe_claims.measure.routed import measure_routed
from moe_claims.measure.weights import measure_weights
from moe_claims.models.dense import open_dense
from moe_claims.models.device import device_of
from moe_claims.models.families import ROLES
from moe_claims.models.forward import LayerwiseModel
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.models.names import resolve
from moe_claims.models.shared import SharedExperts
from moe_claims.stats.mantel import pearson
from moe_claims.stats.nulls import off_diagonal

WHAT = ("weights", "matching", "outputs", "token-outputs")
DEFAULT = ("weights", "matching", "outputs")

Arrays = dict[str, NDArray[Any]]


def dump(
    name: str,
    *,
    text: str | None,
    token_ids: Path | None,
    what: tuple[str, ...] | None,
    tokens: int | None,
    device: str,
    dtype: str,
    output: Path,
    dense_reference: str | None = None,
    shared_experts: bool = False,
    download: bool = False,
) -> str:
    """Measures a model and writes the arrays to an ``.npz`` file; names and shapes are in the reference docs.

    The last place on the expert axes goes to the dense reference, or to the shared experts.

    Returns:
        One line for the user.

    Raises:
        MoeClaimsError: model, text or token ids cannot be used, the dense reference has another shape, or there are no
            shared experts.
    """
    wanted = DEFAULT if what is None else what
    for part in wanted:
        if part not in WHAT:
            raise UsageError(f"--what {part}: give some of {', '.join(WHAT)}, separated by commas")
    if output.suffix != ".npz":
        raise UsageError(f"--output {output}: give a file name that ends in .npz")
    if tokens is not None and tokens < 4:
        raise UsageError(f"--tokens {tokens}: give a whole number of tokens, 4 or more")
    place = device_of(device)
    model = open_model(resolve(name), download=download)
    dense: Blocks | None = None
    if dense_reference is not None and shared_experts:
        raise UsageError("--dense-reference and --shared-experts ask for the same place: give one of them")
    if dense_reference is not None:
        dense = open_dense(resolve(dense_reference), download=download)
        dense.check_fits(model.checkpoint)
    if shared_experts:
        dense = SharedExperts(model.checkpoint)
    arrays: Arrays = {"layers": np.asarray(model.checkpoint.moe_layers)}
    note = ""
    if "weights" in wanted:
        arrays |= weight_arrays(measure_weights(model.checkpoint, device=place))
        if dense is not None:
            found = measure_dense(model.checkpoint, dense, device=place)
            arrays |= with_dense(arrays, found)
            note = "" if found.matrix else "; similarity.matrix is without SE, a block of another shape than an expert"
    if "matching" in wanted:
        for role in ROLES:
            matching = measure_matching(model.checkpoint, role, model.checkpoint.moe_layers)
            arrays[f"matching.{role}.similarity"] = matching.similarity
            arrays[f"matching.{role}.tau"] = matching.tau
            arrays[f"matching.{role}.permutation"] = matching.permutation
    if "outputs" in wanted or "token-outputs" in wanted:
        sequences = _sequences(model, text, token_ids, tokens)
        layerwise = LayerwiseModel(model.checkpoint, device=place, dtype=dtype)
        routed = measure_routed(layerwise, sequences, token_cosines="token-outputs" in wanted, dense=dense)
        arrays |= routed_arrays(routed)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(output)
    return f"{name}: {', '.join(wanted)} written to {output} ({len(arrays)} arrays){note}"


def _sequences(
    model: OpenModel, text: str | None, token_ids: Path | None, tokens: int | None
) -> Sequence[Sequence[int]]:
    if token_ids is None:
        loaded = texts.load(text or "builtin")
        sequences = texts.tokenize(loaded, model.encoder(), limit=tokens, longest=model.context).ids
        who = f"'{loaded.name}' as '{model.ref.name}' reads it"
    else:
        sequences, who = texts.read_token_ids(token_ids), f"'{token_ids}'"
    texts.check_ids(sequences, model.checkpoint.vocabulary, who)
    return sequences


def weight_arrays(weights: WeightMeasurement) -> Arrays:
    """Similarities, and Pearson r of router and mean similarities per layer."""
    arrays = dict(weights.arrays())
    router = off_diagonal(weights.router)
    for role in ROLES:
        arrays[f"association.{role}"] = pearson(router, off_diagonal(weights.mean[role]))
    return arrays


def with_dense(arrays: Arrays, dense: DenseWeights) -> Arrays:
    """The similarities with the dense reference, 'F', or the shared experts, 'SE', as last of the experts."""
    return {
        f"similarity.{level}.{role}": append_dense(arrays[f"similarity.{level}.{role}"], to_dense[role])
        for level, to_dense in (("matrix", dense.matrix), ("mean", dense.mean))
        for role in to_dense
    }


def routed_arrays(routed: RoutedMeasurement) -> Arrays:
    """What the reference documents: sums turned into means, ranks counted."""
    arrays = {name: routed.arrays()[name] for name in ("layers", "lengths", "router_logits", "output_norms", "chosen")}
    arrays |= {"nats": routed.nats, "activation_share": routed.activation_share}
    if routed.token_cosines is not None:
        arrays["output_similarity.cosine"] = routed.token_cosines
    mean = routed.angular_mean
    if routed.dense_sums is not None:
        mean = append_dense(mean, routed.dense_sums.sum(axis=1) / routed.lengths.sum())
    arrays["output_similarity.angular_mean"] = mean
    arrays["rank_counts"] = routed.rank_counts()
    return arrays
