"""A small smooth model, steps by hand and interrupted runs, for balancers that move their own weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.balancing import Balancer, BalancerReport, ForwardPass, StepContext
from frugalmtl.balancing.gradients import RepresentationCut
from frugalmtl.core.types import Batch
from tests.support.tiny_training import Interrupted, TinyLoader, run, stop_after, weights_of


class Trunk(nn.Module):
    """Two linear layers; the second one is the last shared one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.last = nn.Linear(4, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(self.last(torch.tanh(self.first(inputs))))


class Small(nn.Module):
    """A trunk and a linear head per task; the loss of a task is smooth in everything."""

    def __init__(self, tasks: int = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = Trunk()
        self.heads = nn.ModuleList([nn.Linear(5, 2) for _ in range(tasks)])

    def forward(self, inputs: Tensor, cut: Any = None) -> list[Tensor]:
        shared = self.encoder(inputs)
        if cut is not None:
            (shared,) = cut([shared])
        return [(head(shared) - index).square().mean() * 3.0**index for index, head in enumerate(self.heads)]


@dataclass
class Inputs:
    """What stands for a batch."""

    image: Tensor


def inputs(seed: int, count: int = 4) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def context(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    names: tuple[str, ...],
    batches: list[Tensor],
    validation: list[Tensor] | None = None,
) -> StepContext:
    """A context whose losses are the small model's."""

    def losses(batch: Batch) -> dict[str, Tensor]:
        return dict(zip(names, model(batch.image), strict=True))

    as_batches: Callable[[list[Tensor]], Any] = lambda tensors: [Inputs(item) for item in tensors]  # noqa: E731
    return StepContext(model, as_batches(batches), as_batches(validation or []), losses, optimizer)


def backward(
    model: nn.Module, balancer: Balancer, batches: list[Tensor], *, loss_scale: float = 1.0, absent: int | None = None
) -> BalancerReport:
    """Forward and backward over the batches of one step."""
    balance = BalancerReport()
    for index, batch in enumerate(batches):
        cut = balancer.cut()
        values = model(batch, cut)
        if absent is not None:
            values[absent] = values[absent] * 0.0
        scale = loss_scale / len(batches)
        balance = balancer.backward(
            ForwardPass(
                model,
                dict(zip(balancer.task_names, values, strict=True)),
                None,
                cut,
                backward=lambda loss, scale=scale: (loss * scale).backward(),  # type: ignore[misc]
                scale=scale,
                loss_scale=loss_scale,
                last=index == len(batches) - 1,
            )
        )
        assert cut is None or isinstance(cut, RepresentationCut)
    return balance


def take(model: nn.Module) -> dict[str, Tensor]:
    """The gradients, which are gone from the model afterwards."""
    gradients = {name: item.grad.clone() for name, item in model.named_parameters() if item.grad is not None}
    model.zero_grad()
    return gradients


def goes_on_exactly(folder: Path, balancer: Any, **more: Any) -> tuple[Any, Any]:
    """Train, interrupted in the middle of an epoch and not; both must end with the same bits."""
    options: dict[str, Any] = {"balancer": balancer, "validation": TinyLoader(size=3), "checkpoint_every": 1, **more}
    model, whole, result = run(folder / "whole", **options)
    with pytest.raises(Interrupted):
        run(folder / "parts", **options, on_step=stop_after(4))
    torch.rand(17)  # whatever else the next process draws
    again, part, _ = run(folder / "parts", **options)
    expected, actual = weights_of(model, whole), weights_of(again, part)
    assert actual.keys() == expected.keys()
    assert not [name for name, value in expected.items() if not torch.equal(actual[name], value)]
    return whole, result
