"""What several processes must agree on. With one process every function here does nothing."""

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
    """Overwrite every tensor with the first process's values, in place."""
    if process_count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace ``.grad`` by its mean over the processes.

    A parameter that some processes did not reach counts there as a zero gradient; one that none reached keeps none.
    """
    processes = process_count()
    if processes == 1 or not parameters:
        return
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=parameters[0].device)
    dist.all_reduce(used)
    chosen = [parameter for parameter, count in zip(parameters, used.tolist(), strict=True) if count > 0]
    for parameter in chosen:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in chosen if parameter.grad is not None]
    if not gradients:
        return
    flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes
    pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def average(values: Tensor) -> Tensor:
    """Mean over the processes."""
    if process_count() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= process_count()
    return values


def gather(value: Any) -> list[Any]:
    """The value of every process, in order of rank, on every process."""
    if process_count() == 1:
        return [value]
    values: list[Any] = [None] * process_count()
    dist.all_gather_object(values, value)
    return values
