"""A pool of large memory buffers, reused from tensor to tensor."""

import threading
import weakref
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import torch

_WORTH = 1 << 24
"""Bytes from which a buffer is kept for reuse; smaller ones would only displace large ones."""


@final
class BufferPool:
    """Hands out memory for tensors, and reuses it once no tensor refers to it any more.

    It exists for speed: the operating system supplies new memory page by page, which takes longer than reading a file
    into it.
    """

    _KEPT = 2

    def __init__(self) -> None:
        self._free: list[torch.Tensor] = []
        self._lock = threading.Lock()

    def take(self, size: int) -> "torch.Tensor":
        """An uninitialised uint8 tensor, (size,)."""
        import torch

        if size < _WORTH:
            return torch.empty(size, dtype=torch.uint8)
        with self._lock:
            fitting = [buffer for buffer in self._free if size <= len(buffer) <= 2 * size]
            if fitting:
                memory = min(fitting, key=len)
                self._free = [buffer for buffer in self._free if buffer is not memory]
            else:
                memory = torch.empty(size, dtype=torch.uint8)
        array = memory.numpy()[:size]
        # The tensor, and every view of it, keeps the array alive; when the array goes, the memory is free again.
        weakref.finalize(array, self._give_back, memory).atexit = False
        return torch.from_numpy(array)

    def _give_back(self, memory: "torch.Tensor") -> None:
        with self._lock:
            self._free = [*self._free, memory][-self._KEPT :]
