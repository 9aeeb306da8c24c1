"""Compresses weights saved along a training ("points"), so that they can ship beside the finished model.

Each point is stored as its difference from the next one, the last as its difference from the finished model. Matrices
are quantised with a step proportional to their root mean square, and the integers are Huffman-coded; routers and
vectors, which are small, are stored in 16 bits.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_claims._util.optional import repair
from moe_claims.errors import ModelError
from moe_claims.models.embedded import point_file, points_of

Floats = NDArray[np.float32]

EXPERT_STEP, OTHER_STEP = 0.22, 0.12
"""Quantisation step over the root mean square of the matrix: an error of 0.22/√12 = 6 % for experts, 3 % for others."""
NOTE = (
    "points along the training of an embedded model are kept in low precision: root-mean-square errors of "
    f"{EXPERT_STEP / 12**0.5:.0%} of the weights in experts, {OTHER_STEP / 12**0.5:.0%} in other matrices, routers in "
    "16 bits; the finished model is exact"
)
_ROUTER = re.compile(r"\bgate\.weight$|\brouter\b")
_EXPERT = re.compile(r"\bexperts\b")
_FOLLOWING = "following_sha256"
"""Metadata key: hash of the weights that the file is the difference from, as decoded."""
_CODES, _STEPS, _FOLLOW, _PLAIN = "codes", "steps", "follow", "plain"


def is_coded(name: str, weight: Floats) -> bool:
    """Whether a tensor is stored as quantised differences: a matrix other than a router."""
    return weight.ndim == 2 and not _ROUTER.search(name)


def encode(weights: Mapping[str, Floats], following: Mapping[str, Floats]) -> dict[str, NDArray[Any]]:
    """Encodes the weights of a point as the tensors of its file.

    Args:
        weights: tensors by name.
        following: tensors of the next point as ``decode`` returns them, or of the finished model.

    Raises:
        ValueError: weights are not finite, or differ from ``following`` by more than 127 steps.
    """
    codes, plain = [np.empty(0, np.int8)], [np.empty(0, np.float32)]
    steps, follow = [], []
    for name in sorted(following):
        weight, other = weights[name], following[name]
        if not np.isfinite(weight).all():
            raise ValueError(f"'{name}' holds NaN or infinite weights")
        if not is_coded(name, weight):
            plain.append(weight.ravel())
            continue
        size = EXPERT_STEP if _EXPERT.search(name) else OTHER_STEP
        step = np.float32(size * np.sqrt(np.mean(np.square(weight, dtype=np.float64))))
        share = np.float32(np.vdot(other, weight) / max(float(np.vdot(other, other)), 1e-30))
        whole = np.rint((weight - share * other) / max(float(step), 1e-30))
        if np.abs(whole).max() > 127:
            raise ValueError(
                f"'{name}' is {np.abs(whole).max():.0f} steps from the next point; at most 127 can be stored"
            )
        codes.append(whole.astype(np.int8).ravel())
        steps.append(step)
        follow.append(share)
    # The integers are close to noise: searching for repeats would shorten the file hardly at all.
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    packed = packer.compress(np.concatenate(codes).tobytes()) + packer.flush()
    return {
        _CODES: np.frombuffer(packed, np.uint8),
        _STEPS: np.asarray(steps, np.float32),
        _FOLLOW: np.asarray(follow, np.float32),
        _PLAIN: np.concatenate(plain).astype(np.float16),
    }


def decode(parts: Mapping[str, NDArray[Any]], following: Mapping[str, Floats]) -> dict[str, Floats]:
    """Inverse of ``encode``, up to rounding; float32.

    Raises:
        ValueError: the parts do not fit the names and shapes of ``following``.
    """
    codes = np.frombuffer(zlib.decompress(parts[_CODES].tobytes()), np.int8)
    plain, steps, follow = parts[_PLAIN].astype(np.float32), parts[_STEPS], parts[_FOLLOW]
    kept = {name: is_coded(name, other) for name, other in following.items()}
    sizes = {True: 0, False: 0}
    for name, other in following.items():
        sizes[kept[name]] += other.size
    if (len(codes), len(plain)) != (sizes[True], sizes[False]) or not len(steps) == len(follow) == sum(kept.values()):
        raise ValueError("sizes differ from the finished model's")
    weights: dict[str, Floats] = {}
    at, at_plain, number = 0, 0, 0
    for name in sorted(following):
        other = following[name]
        if kept[name]:
            whole = codes[at : at + other.size].reshape(other.shape)
            weights[name] = follow[number] * other + steps[number] * whole.astype(np.float32)
            at, number = at + other.size, number + 1
        else:
            weights[name] = plain[at_plain : at_plain + other.size].reshape(other.shape)
            at_plain += other.size
    return weights


def digest(weights: Mapping[str, Floats]) -> str:
    """SHA-256 of all weights, with their names and shapes."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(f"{name} {weights[name].shape}\n".encode())
        found.update(np.ascontiguousarray(weights[name], "<f4").data)
    return found.hexdigest()


def save(path: Path, parts: Mapping[str, NDArray[Any]], following: Mapping[str, Floats]) -> None:
    """Writes the file of a point, with a hash of the weights that it is the difference from."""
    from safetensors.numpy import save_file

    save_file(dict(parts), path, metadata={_FOLLOWING: digest(following)})
    path.chmod(0o644)  # safetensors makes it readable for its owner only


def _load(path: Path, following: Mapping[str, Floats]) -> dict[str, Floats]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        if (file.metadata() or {}).get(_FOLLOWING) != digest(following):
            raise ValueError("it is the difference from other weights than those of the next point")
        return decode({name: file.get_tensor(name) for name in (_CODES, _STEPS, _FOLLOW, _PLAIN)}, following)


def read(folder: Path, step: int) -> dict[str, Floats]:
    """Decodes the weights after ``step`` training steps, float32, by name.

    Args:
        folder: folder of the finished model, with its points.
        step: one of the saved steps.

    Raises:
        ModelError: a file is missing or damaged, or belongs to another model.
    """
    from safetensors import SafetensorError

    kept = points_of(folder)
    if step not in kept:
        raise ModelError(f"'{point_file(folder, step)}' is missing: {repair()}")
    try:
        weights = finished(folder)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"the finished model in '{folder}' cannot be read: {error}; {repair()}") from None
    for later in sorted((s for s in kept if s >= step), reverse=True):
        path = point_file(folder, later)
        try:
            weights = _load(path, weights)
        except (SafetensorError, ValueError, zlib.error) as error:
            raise ModelError(f"'{path}' does not belong to this model's training: {error}; {repair()}") from None
    return weights


def finished(folder: Path) -> dict[str, Floats]:
    """Weights of the finished model in a folder, float32, by name."""
    from safetensors.torch import load_file

    return {name: tensor.float().numpy() for name, tensor in load_file(folder / "model.safetensors").items()}
