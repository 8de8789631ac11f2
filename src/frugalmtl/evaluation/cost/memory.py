"""How much memory a forward pass holds at its worst moment."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from frugalmtl.evaluation.modes import device_of, evaluating


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that operations made and that are still alive, and their peak."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = known  # storages that were there before: weights, buffers, the image
        self._live: dict[int, int] = {}
        self.live = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in tree_iter(result):
            if isinstance(item, Tensor) and item.layout is torch.strided:
                self._track(item)
        return result

    def _track(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known or key in self._live:
            return  # a view, or written in place
        self._live[key] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._live.pop(key, 0)


def peak_memory(module: nn.Module, image: Tensor) -> int:
    """Peak bytes that one forward pass in eval mode holds beyond the weights and the image.

    On the CPU: bytes of all tensors alive at once (feature maps, attention scores, outputs). Scratch memory inside one
    kernel is not seen. On CUDA: ``max_memory_allocated`` during the pass above what was allocated before it, scratch
    included.

    Args:
        module: any module ``image -> ...``.
        image: ``[B, 3, H, W]``; moved to the module's device.
    """
    device = device_of(module)
    image = image.to(device)
    if device.type == "cuda":
        return _peak_on_cuda(module, image)
    known = {tensor.untyped_storage()._cdata for tensor in _dense((*module.parameters(), *module.buffers(), image))}
    # no_grad rather than inference_mode: composite operations then arrive here taken apart, with their temporaries.
    tracker = _LiveBytes(known)
    with evaluating(module), torch.no_grad(), tracker:
        module(image)
    return tracker.peak


def _dense(tensors: tuple[Tensor, ...]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor.layout is torch.strided]


def _peak_on_cuda(module: nn.Module, image: Tensor) -> int:
    with evaluating(module), torch.inference_mode():
        module(image)  # kernels are chosen and workspaces made once, before measuring
        torch.cuda.synchronize(image.device)
        before = torch.cuda.memory_allocated(image.device)
        torch.cuda.reset_peak_memory_stats(image.device)
        module(image)
        torch.cuda.synchronize(image.device)
        return int(torch.cuda.max_memory_allocated(image.device) - before)
