"""Agreement of several processes; with one process every function here does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def process_count() -> int:
    """Number of training processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Overwrite every tensor, wherever it is, with the first process's values."""
    if process_count() > 1:
        for tensor in tensors:
            there = _sendable(tensor.detach())
            dist.broadcast(there, src=0)
            if there.device != tensor.device:
                tensor.detach().copy_(there)


def _sendable(tensor: Tensor) -> Tensor:
    """The tensor where the processes' connection takes it: NCCL knows GPUs only."""
    on_gpu = dist.get_backend() == "nccl" and tensor.device.type == "cpu"
    return tensor.cuda() if on_gpu else tensor


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace ``.grad`` by its mean over the processes.

    A parameter that some processes did not reach counts there as a zero gradient; one that none reached keeps none.
    """
    if process_count() == 1 or not parameters:
        return
    (used,) = any_process([[parameter.grad is not None for parameter in parameters]], parameters[0].device)
    chosen = [parameter for parameter, flag in zip(parameters, used, strict=True) if flag]
    for parameter in chosen:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    average_in_place([parameter.grad for parameter in chosen if parameter.grad is not None])


def average_in_place(tensors: Sequence[Tensor]) -> None:
    """Overwrite every tensor with its mean over the processes, in one exchange; sums are taken in float32."""
    if process_count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= process_count()
    for tensor, piece in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(piece.view_as(tensor))


def average(values: Tensor) -> Tensor:
    """Mean over the processes."""
    if process_count() > 1:
        sums = _sendable(values).clone()
        dist.all_reduce(sums)
        return (sums / process_count()).to(values.device)
    return values


def any_process(flags: Sequence[Sequence[bool]], device: torch.device) -> list[list[bool]]:
    """Rows of flags, true where they are true in any process."""
    if process_count() == 1:
        return [list(row) for row in flags]
    counts = _sendable(torch.tensor(flags, dtype=torch.int32, device=device))
    dist.all_reduce(counts)
    return [[count > 0 for count in row] for row in counts.tolist()]


def gather(value: Any) -> list[Any]:
    """The value of every process, in order of rank, on every process."""
    if process_count() == 1:
        return [value]
    values: list[Any] = [None] * process_count()
    dist.all_gather_object(values, value)
    return values
