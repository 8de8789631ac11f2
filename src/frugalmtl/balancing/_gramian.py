"""Inner products of gradients that lie in many tensors, without copying them into one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

from frugalmtl.balancing._transfers import widest

Row = Sequence[Tensor | None]
"""One task's gradient, tensor by tensor; None where the task does not reach the tensor."""

_CHUNK = 1 << 18  # elements; two float32 chunks stay in a core's cache while all pairs of tasks are multiplied
_GPU_CHUNK = 1 << 24  # elements of every task that are copied side by side at a time
_GPU_SUM = 1 << 12  # elements whose products are summed in float32 on a GPU


def gramian(rows: Sequence[Row], device: torch.device | None = None) -> Tensor:
    """Gradients of T tasks -> their inner products ``[T, T]``, float64, on the gradients' device.

    Products are summed in float32 (float64 for float64 gradients) over at most 2^18 elements and in float64 beyond.
    Tensors are read in the order of their memory, so a layout such as channels-last costs no copy. On a GPU, tensors
    that the same tasks reach are copied side by side, at most 2^24 elements at a time (there, kernel launches cost more
    than copies), and products are summed in float32 over 2^12 elements, never in TF32. Nothing waits for the device.

    Args:
        rows: a gradient per task.
        device: of the result where there is no gradient at all.
    """
    members: list[tuple[tuple[int, ...], list[Tensor]]] = []
    for tensors in zip(*rows, strict=True):
        flat = in_memory_order([tensor for tensor in tensors if tensor is not None])
        if flat and flat[0].numel():
            members.append((tuple(index for index, tensor in enumerate(tensors) if tensor is not None), flat))
    device = members[0][1][0].device if members else device or torch.device("cpu")
    total = torch.zeros(len(rows), len(rows), dtype=widest(device), device=device)
    for place, piece in _on_cpu(members) if device.type == "cpu" else _on_gpu(members):
        if len(place) == len(rows):
            total += piece
        else:
            index = _index(place, device)
            total[index[:, None], index] += piece
    return total


Members = Sequence[tuple[tuple[int, ...], list[Tensor]]]
"""Which tasks reach a tensor, and their gradients there, flat."""


def _on_cpu(members: Members) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    return ((place, _by_chunks(flat)) for place, flat in members)


def _on_gpu(members: Members) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    groups: dict[tuple[int, ...], list[list[Tensor]]] = {}
    for place, flat in members:
        groups.setdefault(place, []).append(flat)
    return ((place, _block_products(block)) for place, group in groups.items() for block in _blocks(group))


@lru_cache(maxsize=256)
def _index(place: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(place).to(device)


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


def _blocks(group: Sequence[Sequence[Tensor]]) -> list[list[Sequence[Tensor]]]:
    """Parts of tensors, several of which make up a block of at most 2^24 elements per task."""
    blocks: list[list[Sequence[Tensor]]] = []
    room = 0
    for flat in group:
        for start in range(0, flat[0].numel(), _GPU_CHUNK):
            part = [tensor[start : start + _GPU_CHUNK] for tensor in flat]
            if part[0].numel() > room:
                blocks.append([])
                room = _GPU_CHUNK
            blocks[-1].append(part)
            room -= part[0].numel()
    return blocks


def _block_products(block: Sequence[Sequence[Tensor]]) -> Tensor:
    size = sum(part[0].numel() for part in block)
    count, first = len(block[0]), block[0][0]
    filling = first.new_zeros(-size % _GPU_SUM)
    pieces = [piece for task in range(count) for piece in (*(part[task] for part in block), filling)]
    matrix = _full(torch.cat(pieces)).view(count, -1, _GPU_SUM).transpose(0, 1)
    with ieee_products(first.device):
        products = torch.bmm(matrix, matrix.mT)
    return products.to(widest(first.device)).sum(dim=0)


@contextmanager
def ieee_products(device: torch.device) -> Iterator[None]:
    """Matrix products in float32 as such, even where the run allows TF32, whose 1e-3 would be taken for conflicts."""
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision if device.type == "cuda" else "ieee"
    if before != "tf32":
        yield
        return
    settings.fp32_precision = "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


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
