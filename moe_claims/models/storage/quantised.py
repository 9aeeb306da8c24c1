"""Dequantises checkpoints: float8 with scales per block, and the mxfp4 format of GPT-OSS.

Values are rounded to the dtype that the config names (bfloat16 if it names none), as when transformers dequantises.
The quantisation of activations, which some models prescribe, is not applied.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, final

from moe_claims.errors import ModelError
from moe_claims.models.storage.tensor_source import TensorSource

if TYPE_CHECKING:
    import torch

_DTYPES = ("bfloat16", "float16", "float32")
_AT_ONCE = 1 << 22
"""Numbers that are converted to float32 at a time: 16 MB, and the same again for their scales."""
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitudes of four-bit numbers by their low three bits; the fourth bit is the sign (OCP Microscaling Formats 1.0)."""
_REMEDY = "give the checkpoint in bfloat16, float16 or float32 that it was made from"


def dequantised(name: str, config: Mapping[str, Any], source: TensorSource) -> TensorSource:
    """Wraps a source so that it returns dequantised tensors; returns it unchanged if the model is not quantised.

    Args:
        name: name of the model, for messages.
        config: the parsed ``config.json``, with its ``quantization_config`` if there is one.
        source: the tensors as stored.

    Raises:
        ModelError: the kind of quantisation is not supported.
    """
    settings = config.get("quantization_config")
    if not settings:
        return source
    method = settings.get("quant_method", "unknown") if isinstance(settings, dict) else "unknown"
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    if method not in ("fp8", "mxfp4") or (method == "mxfp4" and config.get("model_type") != "gpt_oss"):
        raise ModelError(
            f"'{name}' is quantised (quant_method '{method}'), which cannot be read: {_REMEDY}, or one in fp8 with "
            "scales for blocks"
        )
    if dtype not in _DTYPES:
        raise ModelError(
            f"the config of quantised '{name}' has dtype '{dtype}': it must be one of {', '.join(_DTYPES)}"
        )
    if method == "mxfp4":
        return Mxfp4Source(name, source, dtype)
    return Fp8Source(name, source, dtype, _block_size(name, settings))


def _block_size(name: str, settings: Mapping[str, Any]) -> tuple[int, int] | None:
    for key, known in (("fmt", "e4m3"), ("expert_dtype", "fp8")):
        if settings.get(key, known) != known:
            raise ModelError(
                f"'{name}' is quantised to fp8 with {key} '{settings[key]}', and only '{known}' can be read: {_REMEDY}"
            )
    size = settings.get("weight_block_size", (128, 128))
    if size is None:
        return None
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        raise ModelError(f"'{name}' is quantised with weight_block_size {size}: it is two whole numbers, or null")
    return size[0], size[1]


def is_float8(tensor: "torch.Tensor") -> bool:
    """Whether a tensor holds one-byte floating-point numbers, which need scales to be meaningful."""
    return bool(tensor.is_floating_point() and tensor.element_size() == 1)


@final
class Fp8Source:
    """A source that dequantises a float8 checkpoint (quant_method ``fp8``): stored numbers times their scales.

    ``X`` is stored as float8_e4m3fn. ``X_scale_inv`` holds one scale per block of its last two dimensions (blocks at
    the ends may be smaller), or a single scale if there are no blocks. Scales may be powers of two (e8m0), also stored
    as plain bytes. Tensors without a scale are returned as stored.

    Args:
        name: name of the model, for messages.
        source: the tensors as stored.
        dtype: dtype of the returned tensors.
        block: rows and columns of a block; None if each tensor has a single scale.

    Raises:
        ModelError: on reading, if a scale is missing, has an unexpected shape, or is not finite.
    """

    def __init__(self, name: str, source: TensorSource, dtype: str, block: tuple[int, int] | None) -> None:
        import torch

        self._model = name
        self._source = source
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._block = block
        stored = source.names()
        self._scales = {scale.removesuffix("_scale_inv"): scale for scale in stored if scale.endswith("_scale_inv")}
        self._names = frozenset(
            stored_name for stored_name in stored if not stored_name.endswith(("_scale_inv", "activation_scale"))
        )

    def names(self) -> frozenset[str]:
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        return self._source.shape(_known(name, self._names))

    def get(self, name: str) -> "torch.Tensor":
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        scaled = [name for name in names if _known(name, self._names) in self._scales]
        read = self._source.get_many([*names, *(self._scales[name] for name in scaled)])
        scales = dict(zip(scaled, read[len(names) :], strict=True))
        return [
            self._times(name, tensor, scales.get(name), out)
            for name, tensor, out in zip(names, read, self._room(read[: len(names)]), strict=False)
        ]

    def _room(self, tensors: "list[torch.Tensor]") -> "list[torch.Tensor | None]":
        """Contiguous output memory for float8 tensors of one dtype and shape, so that stacking them needs no copy.

        None for each tensor if they differ or are not float8.
        """
        import torch

        if len({(tensor.dtype, tensor.shape) for tensor in tensors}) != 1 or not is_float8(tensors[0]):
            return [None] * len(tensors)
        return list(torch.empty((len(tensors), *tensors[0].shape), dtype=self._dtype))

    def _times(
        self, name: str, tensor: "torch.Tensor", scale: "torch.Tensor | None", out: "torch.Tensor | None"
    ) -> "torch.Tensor":
        import torch

        float8 = tensor.dtype == torch.float8_e4m3fn
        if scale is None and not is_float8(tensor):
            return tensor
        if not float8:
            raise ModelError(
                f"'{self._model}' stores '{name}' as {_said(tensor.dtype)}, not as float8_e4m3fn: {_REMEDY}"
            )
        if scale is None:
            raise ModelError(
                f"'{self._model}' stores '{name}' as float8_e4m3fn, but lacks '{name}_scale_inv': is the checkpoint "
                "complete?"
            )
        rows, columns = self._scale_index(name, tuple(tensor.shape), tuple(scale.shape))
        scale = self._numbers(name, scale)
        scale = scale.reshape(-1, 1, 1) if scale.dim() < 2 else scale.reshape(-1, *scale.shape[-2:])
        out = torch.empty(tensor.shape, dtype=self._dtype) if out is None else out
        flat, parts = out.view(-1, *out.shape[-2:]), tensor.reshape(-1, *tensor.shape[-2:])
        step = max(1, _AT_ONCE // max(1, tensor.shape[-1]))
        for part, of_part, numbers in zip(parts, scale.expand(len(parts), -1, -1), flat, strict=True):
            for start in range(0, len(rows), step):
                strip = slice(start, start + step)
                numbers[strip] = part[strip].to(torch.float32).mul_(of_part[rows[strip]].index_select(1, columns))
        return out

    def _numbers(self, name: str, scale: "torch.Tensor") -> "torch.Tensor":
        """Checked scales of a tensor, in float32."""
        import torch

        if scale.dtype == torch.uint8:
            scale = scale.view(torch.float8_e8m0fnu)
        if scale.dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float8_e8m0fnu):
            raise ModelError(
                f"'{self._model}' stores '{self._scales[name]}' as {_said(scale.dtype)}: scales are float32, bfloat16, "
                "float16 or e8m0"
            )
        return _finite(self._model, self._scales[name], scale.to(torch.float32))

    def _scale_index(
        self, name: str, shape: tuple[int, ...], given: tuple[int, ...]
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """For every row and every column of a tensor, the index of the row and column of its scales.

        Args:
            name: name of the tensor.
            shape: its shape.
            given: shape of its scales.

        Raises:
            ModelError: the shape of the scales does not fit, or fits in two ways.
        """
        import torch

        if len(shape) < 2:
            raise ModelError(f"'{self._model}' stores '{name}' {shape} as float8_e4m3fn: it has no rows and columns")
        *before, height, width = shape
        # A fused tensor of experts holds act and up in two halves, which transformers scales separately.
        half = height // 2 if len(shape) == 3 and name.endswith("gate_up_proj") and height % 2 == 0 else 0
        if self._block is None:
            if given in ((), (1,), (*before, 1, 1)):
                return torch.zeros(height, dtype=torch.long), torch.zeros(width, dtype=torch.long)
            if half and given == (*before, 2, 1):
                return torch.arange(height) // half, torch.zeros(width, dtype=torch.long)
            raise self._other_shape(name, shape, given, f"one scale asks for (), (1,) or {(*before, 1, 1)}")
        tall, wide = self._block
        columns, whole, halves = ceil(width / wide), ceil(height / tall), 2 * ceil(half / tall)
        if half % tall and given == (*before, whole, columns) == (*before, halves, columns):
            raise ModelError(
                f"'{self._model}' stores '{name}' {shape} with scales {given}, which fit blocks of the whole and of "
                f"its two halves alike: {_REMEDY}, or one with a tensor for each expert"
            )
        if given == (*before, whole, columns):
            return torch.arange(height) // tall, torch.arange(width) // wide
        if half and given == (*before, halves, columns):
            row = torch.arange(half) // tall
            return torch.cat([row, row + halves // 2]), torch.arange(width) // wide
        asked = f"blocks of {tall} × {wide} ask for {(*before, whole, columns)}"
        raise self._other_shape(name, shape, given, asked)

    def _other_shape(self, name: str, shape: tuple[int, ...], given: tuple[int, ...], asked: str) -> ModelError:
        return ModelError(
            f"'{self._model}' stores '{self._scales[name]}' as {given}, but for '{name}' {shape} {asked}: "
            "config and weights do not belong together"
        )


@final
class Mxfp4Source:
    """A source that dequantises a GPT-OSS checkpoint as published (quant_method ``mxfp4``).

    Each byte of ``X_blocks`` (E, r, g, 16) holds two four-bit numbers, the low one first; each byte of ``X_scales``
    (E, r, g) is the power of two for 32 of them. X is returned as (E, 32 g, r), the layout of transformers. Other
    tensors are returned as stored.

    Args:
        name: name of the model, for messages.
        source: the tensors as stored.
        dtype: dtype of the returned tensors.

    Raises:
        ModelError: scales are missing, or on reading, scales have an unexpected shape or are not finite.
    """

    def __init__(self, name: str, source: TensorSource, dtype: str) -> None:
        import torch

        self._model = name
        self._source = source
        self._dtype: torch.dtype = getattr(torch, dtype)
        stored = source.names()
        self._packed = frozenset(blocks.removesuffix("_blocks") for blocks in stored if blocks.endswith("_blocks"))
        self._names = self._packed | {plain for plain in stored if not plain.endswith(("_blocks", "_scales"))}
        for packed in sorted(self._packed):
            if f"{packed}_scales" not in stored:
                raise ModelError(
                    f"'{name}' has '{packed}_blocks', but lacks '{packed}_scales': is the checkpoint complete?"
                )

    def names(self) -> frozenset[str]:
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        if _known(name, self._names) not in self._packed:
            return self._source.shape(name)
        experts, rows, groups = self._packed_shape(name)
        return experts, 32 * groups, rows

    def _packed_shape(self, name: str) -> tuple[int, int, int]:
        blocks, scales = (self._source.shape(f"{name}_{kind}") for kind in ("blocks", "scales"))
        if len(blocks) != 4 or blocks[3] != 16 or blocks[:3] != scales:
            raise ModelError(
                f"'{self._model}' stores '{name}_blocks' as {blocks} and '{name}_scales' as {scales}: one scale is "
                "expected for every 16 bytes; is the checkpoint damaged?"
            )
        return blocks[0], blocks[1], blocks[2]

    def get(self, name: str) -> "torch.Tensor":
        return self.get_many([name])[0]

    def get_many(self, names: Sequence[str]) -> "list[torch.Tensor]":
        read = iter(self._source.get_many([stored for name in names for stored in self._stored(name)]))
        return [self._unpack(name, next(read), next(read)) if name in self._packed else next(read) for name in names]

    def _stored(self, name: str) -> tuple[str, ...]:
        return (f"{name}_blocks", f"{name}_scales") if _known(name, self._names) in self._packed else (name,)

    def _unpack(self, name: str, blocks: "torch.Tensor", scales: "torch.Tensor") -> "torch.Tensor":
        import torch

        experts, rows, groups = self._packed_shape(name)
        for kind, stored in (("blocks", blocks), ("scales", scales)):
            if stored.dtype != torch.uint8:
                raise ModelError(f"'{self._model}' stores '{name}_{kind}' as {_said(stored.dtype)}: it must be uint8")
        powers = _finite(self._model, f"{name}_scales", scales.view(torch.float8_e8m0fnu).to(torch.float32))
        numbers = torch.tensor([*_E2M1, *(-value for value in _E2M1)])
        pairs = torch.stack([numbers.repeat(16), numbers.repeat_interleave(16)], dim=1)  # the two numbers of each byte
        out = torch.empty(experts, rows, groups, 32, dtype=self._dtype)
        step = max(1, _AT_ONCE // max(1, 32 * groups))
        for expert in range(experts):
            for start in range(0, rows, step):
                strip = slice(start, start + step)
                wide = pairs[blocks[expert, strip].to(torch.int32)].flatten(-2)
                out[expert, strip] = wide.mul_(powers[expert, strip, :, None])
        return out.flatten(2).transpose(1, 2)


def _known(name: str, names: frozenset[str]) -> str:
    if name not in names:
        raise KeyError(name)
    return name


def _finite(model: str, name: str, scales: "torch.Tensor") -> "torch.Tensor":
    import torch

    if not torch.isfinite(scales).all():
        raise ModelError(f"'{model}' has NaN or infinite scales in the tensor '{name}': it cannot be measured")
    return scales


def _said(dtype: "torch.dtype") -> str:
    return str(dtype).removeprefix("torch.")
