"""Peak memory of a computation."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from frugalmtl.core.counting import device_of, evaluating


@dataclass
class Peak:
    """The measurement of :func:`peak_of`, filled in at the end of its block.

    Attributes:
        bytes: held at the worst moment beyond what was there before.
    """

    bytes: int = 0


@contextlib.contextmanager
def peak_of(device: torch.device) -> Iterator[Peak]:
    """Watch what the block holds on ``device`` beyond what was there before; forward and backward passes alike.

    On the CPU: bytes of all tensors alive at once that operations of this thread made (autograd goes back in the same
    thread there), what a graph keeps for the backward pass and finished gradients included. Scratch memory inside one
    kernel is not seen. On CUDA: ``max_memory_allocated`` above what was allocated before, scratch included; let the
    block's work run once before, so that kernels are chosen and workspaces made.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        torch.cuda.synchronize(device)
        peak.bytes = int(torch.cuda.max_memory_allocated(device) - before)
        return
    with _LiveBytes() as tracker:
        yield peak
    peak.bytes = tracker.peak


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that operations made and that are still alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live: dict[int, int] = {}
        self.live = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **kwargs)
        for storage in _storages(result):
            if storage._cdata not in before:  # else it is a view, or was written in place
                self._track(storage)
        return result

    def _track(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._live:
            return  # a second result in the same storage
        self._live[key] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._live.pop(key, 0)


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    tensors = (item for item in tree_iter(tree) if isinstance(item, Tensor) and item.layout is torch.strided)
    return [tensor.untyped_storage() for tensor in tensors]


def peak_memory(module: nn.Module, image: Tensor) -> int:
    """Peak bytes that one forward pass in eval mode holds beyond the weights and the image; see :func:`peak_of`.

    Args:
        module: any module ``image -> ...``.
        image: ``[B, 3, H, W]``; moved to the module's device.
    """
    device = device_of(module)
    image = image.to(device)
    on_cuda = device.type == "cuda"
    # no_grad rather than inference_mode on the CPU: composite operations then arrive at the watcher taken apart, with
    # their temporaries.
    with evaluating(module), torch.inference_mode() if on_cuda else torch.no_grad():
        if on_cuda:
            module(image)
        with peak_of(device) as peak:
            module(image)
    return peak.bytes
