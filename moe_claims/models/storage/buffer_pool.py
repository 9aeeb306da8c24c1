"""Memory for large tensors, used again and again."""

import threading
import weakref
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import torch

_WORTH = 1 << 24
"""Bytes from which memory is kept; smaller pieces would only drive out the large ones."""


@final
class Buffers:
    """Memory for tensors that is used again once nobody holds the tensors in it.

    Fresh memory is handed out by the system page by page, which takes longer than reading
    the file into it.
    """

    _KEPT = 2

    def __init__(self) -> None:
        self._free: list[torch.Tensor] = []
        self._lock = threading.Lock()

    def take(self, size: int) -> "torch.Tensor":
        """(size,) bytes, not set to anything."""
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
        # The tensor holds the array for as long as any view of it is alive.
        weakref.finalize(array, self._give_back, memory).atexit = False
        return torch.from_numpy(array)

    def _give_back(self, memory: "torch.Tensor") -> None:
        with self._lock:
            self._free = [*self._free, memory][-self._KEPT :]
