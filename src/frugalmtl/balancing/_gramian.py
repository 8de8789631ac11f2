"""Inner products of gradients that lie in many tensors, without copying them into one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Row = Sequence[Tensor | None]
"""One task's gradient, tensor by tensor; None where the task does not reach the tensor."""

_CHUNK = 1 << 18  # elements; two float32 chunks stay in a core's cache while all pairs of tasks are multiplied
_GPU_CHUNK = 1 << 24  # elements of every task that are copied side by side at a time


def gramian(rows: Sequence[Row]) -> Tensor:
    """Gradients of T tasks -> their inner products ``[T, T]``, float64, on the CPU.

    Products are summed in float32 (float64 for float64 gradients) over at most 2^18 elements and in float64 beyond.
    Tensors are read in the order of their memory, so a layout such as channels-last costs no copy. On a GPU tensors are
    stacked, at most 2^24 elements at a time (there, kernel launches cost more than copies), and the host waits once.
    """
    products: list[Tensor] = []
    places: list[list[int]] = []
    for tensors in zip(*rows, strict=True):
        flat = in_memory_order([tensor for tensor in tensors if tensor is not None])
        if flat and flat[0].numel():
            places.append([index for index, tensor in enumerate(tensors) if tensor is not None])
            products.append(_by_chunks(flat) if flat[0].device.type == "cpu" else _stacked(flat))
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    if products:
        values = torch.cat([product.reshape(-1) for product in products]).cpu().double()
        for place, piece in zip(places, torch.split(values, [len(place) ** 2 for place in places]), strict=True):
            index = torch.tensor(place)
            total[index[:, None], index] += piece.view(len(place), len(place))
    return total


def in_memory_order(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of one shape as flat ones with corresponding elements; views where all lie densely in one order."""
    if not tensors:
        return []
    strides = tensors[0].stride()
    if _dense(tensors[0]) and all(tensor.stride() == strides for tensor in tensors):
        return [tensor.as_strided((tensor.numel(),), (1,)) for tensor in tensors]
    return [tensor.reshape(-1) for tensor in tensors]


def _dense(tensor: Tensor) -> bool:
    """Whether the tensor's elements fill one stretch of memory, in whatever order of dimensions."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def _by_chunks(flat: Sequence[Tensor]) -> Tensor:
    count = len(flat)
    total = torch.zeros(count, count, dtype=torch.float64)
    for start in range(0, flat[0].numel(), _CHUNK):
        parts = [_full(tensor[start : start + _CHUNK]) for tensor in flat]
        values = [torch.dot(parts[i], parts[j]).item() for i in range(count) for j in range(i, count)]
        pairs = torch.triu_indices(count, count)
        total[pairs[0], pairs[1]] += torch.tensor(values, dtype=torch.float64)
    return total + total.triu(1).T


def _stacked(flat: Sequence[Tensor]) -> Tensor:
    total = torch.zeros((), device=flat[0].device)
    for start in range(0, flat[0].numel(), _GPU_CHUNK):
        matrix = torch.stack([_full(tensor[start : start + _GPU_CHUNK]) for tensor in flat])
        total = total + matrix @ matrix.T
    return total


def _full(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def combined(rows: Sequence[Row], weights: Sequence[float]) -> list[Tensor | None]:
    """``sum_t w_t g_t``, tensor by tensor, written over the first gradient that reaches the tensor.

    The gradients are used up: no tensor is made, and what a weight of 0 is multiplied with counts as 0 even if it is
    not finite.
    """
    result: list[Tensor | None] = []
    for tensors in zip(*rows, strict=True):
        pairs = [(tensor, weight) for tensor, weight in zip(tensors, weights, strict=True) if tensor is not None]
        if not pairs:
            result.append(None)
            continue
        first, weight = pairs[0]
        total = first.zero_() if weight == 0 else first if weight == 1 else first.mul_(weight)
        for tensor, weight in pairs[1:]:
            if weight != 0:
                total.add_(tensor, alpha=weight)
        result.append(total)
    return result
