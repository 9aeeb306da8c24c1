"""The numbers themselves, for comparison with other implementations: as arrays, and as ``measure`` writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_claims import texts
from moe_claims.errors import UsageError
from moe_claims.measure.dense import Blocks, append_dense
from moe_claims.measure.measurement import DenseWeights, RoutedMeasurement, WeightMeasurement
from moe_claims.measure.part_measurer import PartMeasurer
from moe_claims.measure.sequences import read_text, read_token_ids
from moe_claims.measure.store import Store
from moe_claims.models.dense import open_dense
from moe_claims.models.device import device_of
from moe_claims.models.families.table import ROLES
from moe_claims.models.loading import OpenModel, open_model
from moe_claims.models.names import resolve
from moe_claims.models.shared_experts import SharedExperts
from moe_claims.settings import default_cache
from moe_claims.stats.mantel import pearson
from moe_claims.stats.permutation import off_diagonal

WHAT = ("weights", "matching", "outputs", "token-outputs")
DEFAULT = ("weights", "matching", "outputs")

Arrays = dict[str, NDArray[Any]]


def export(
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
    """Writes the arrays measured of a model to an ``.npz`` file; names and shapes are in the reference docs.

    Returns:
        One line for the user.

    Raises:
        UsageError: the file has another suffix, or as ``measured_arrays``.
        NotComparableError: as ``measured_arrays``.
        ModelError: as ``measured_arrays``.
    """
    if output.suffix != ".npz":
        raise UsageError(f"--output {output}: give a file name that ends in .npz")
    wanted = DEFAULT if what is None else what
    arrays, note = measured_arrays(
        name,
        text=text,
        token_ids=token_ids,
        what=wanted,
        tokens=tokens,
        device=device,
        dtype=dtype,
        dense_reference=dense_reference,
        shared_experts=shared_experts,
        download=download,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(output)
    said = "" if note is None else f"; {note}"
    return f"{name}: {', '.join(wanted)} written to {output} ({len(arrays)} arrays){said}"


def measured_arrays(
    name: str,
    *,
    text: str | None = None,
    token_ids: Path | Sequence[Sequence[int]] | None = None,
    what: Sequence[str] = DEFAULT,
    tokens: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    dense_reference: str | None = None,
    shared_experts: bool = False,
    download: bool = False,
    cache: Path | None = None,
) -> tuple[Arrays, str | None]:
    """Measures a model: arrays by the names that are in the reference docs.

    What has been measured before, here or for the claims, is taken from the cache folder (None: the user's), and what
    is measured now is kept there, layer by layer. The last place on the expert axes goes to the dense reference, or to
    the shared experts.

    Returns:
        The arrays, and what a reader must know about them; None if there is nothing.

    Raises:
        UsageError: model, text, token ids or one of the options cannot be used, or the cache folder not be made.
        NotComparableError: the dense reference has another shape than the experts.
        ModelError: the model cannot be read or run, or has no shared experts.
    """
    for part in what:
        if part not in WHAT:
            raise UsageError(f"--what {part}: give some of {', '.join(WHAT)}, separated by commas")
    if tokens is not None and tokens < 4:
        raise UsageError(f"--tokens {tokens}: give a whole number of tokens, 4 or more")
    if dense_reference is not None and shared_experts:
        raise UsageError("--dense-reference and --shared-experts both come last on the expert axes: give one of them")
    measurer = PartMeasurer(_store(cache or default_cache()), device=device_of(device), dtype=dtype)
    model = open_model(resolve(name), download=download)
    blocks = _blocks(model, dense_reference, shared_experts=shared_experts, download=download)
    sequences: texts.Sequences | None = None
    if "outputs" in what or "token-outputs" in what:  # what is wrong with a text is said before all measuring
        chosen = text or "builtin"
        sequences = read_text(model, chosen, tokens=tokens) if token_ids is None else read_token_ids(model, token_ids)
    arrays: Arrays = {"layers": np.asarray(model.checkpoint.moe_layers)}
    note = None
    if "weights" in what:
        arrays |= weight_arrays(measurer.weights(model))
        if blocks is not None:
            found = measurer.against(model, blocks)
            arrays |= with_dense(arrays, found)
            note = None if found.matrix else "similarity.matrix is without SE, a block of another shape than an expert"
    if "matching" in what:
        for role, matching in measurer.matching(model, model.checkpoint.moe_layers).items():
            arrays[f"matching.{role}.similarity"] = matching.similarity
            arrays[f"matching.{role}.tau"] = matching.tau
            arrays[f"matching.{role}.permutation"] = matching.permutation
    if sequences is not None:
        routed = measurer.routed(model, sequences, blocks, token_cosines="token-outputs" in what)
        arrays |= routed_arrays(routed)
    return arrays, note


def _store(folder: Path) -> Store:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the cache folder '{folder}' cannot be made ({error.strerror}): XDG_CACHE_HOME says where else it may be"
        ) from None
    return Store(folder)


def _blocks(model: OpenModel, dense_reference: str | None, *, shared_experts: bool, download: bool) -> Blocks | None:
    """What the experts are compared with, if anything."""
    if dense_reference is not None:
        dense = open_dense(resolve(dense_reference), download=download)
        dense.check_fits(model.checkpoint)
        return dense
    return SharedExperts(model.checkpoint) if shared_experts else None


def weight_arrays(weights: WeightMeasurement) -> Arrays:
    """Similarities, and Pearson r of router and mean similarities per layer."""
    arrays = dict(weights.arrays())
    router = off_diagonal(weights.router)
    for role in ROLES:
        arrays[f"association.{role}"] = pearson(router, off_diagonal(weights.mean[role]))
    return arrays


def with_dense(arrays: Arrays, dense: DenseWeights) -> Arrays:
    """The similarities with one more expert, which comes last: the dense reference, 'F', or shared experts, 'SE'."""
    return {
        f"similarity.{level}.{role}": append_dense(arrays[f"similarity.{level}.{role}"], to_dense[role])
        for level, to_dense in (("matrix", dense.matrix), ("mean", dense.mean))
        for role in to_dense
    }


def routed_arrays(routed: RoutedMeasurement) -> Arrays:
    """The arrays of a text as the reference documents them: sums turned into means, and ranks counted."""
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
