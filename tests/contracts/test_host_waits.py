"""Waits of the host for the device in a step, balancer by balancer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from frugalmtl.balancing import BALANCERS, Balancer, ForwardPass, StepContext, _transfers
from frugalmtl.core.types import Batch
from frugalmtl.losses import Criterion
from frugalmtl.model import MultiTaskModel
from tests.contracts.test_balancers import IDS, SECTIONS, STACKS
from tests.support.balancing.pretended_device import NAME, pretended_device, waits
from tests.support.tiny_training import build_batch, build_model, tasks


def take(model: MultiTaskModel, balancer: Balancer, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    """One optimiser step without the engine's checks, on whatever device the arguments are."""
    criterion = Criterion(tasks())
    losses = lambda other: criterion(model(other.image), other).by_task  # noqa: E731
    context = StepContext(model, [batch], [batch] if balancer.needs_validation_stream else [], losses, optimizer)
    balancer.before_step(context)
    chosen = balancer.choose()
    cut = balancer.cut()
    by_task = criterion(model(batch.image, cut, chosen), batch, chosen).by_task
    balancer.backward(ForwardPass(model, by_task, None, cut, torch.Tensor.backward))
    balancer.after_step(context)


@pytest.mark.parametrize("section", [*SECTIONS, *STACKS], ids=IDS)
def test_the_host_waits_as_often_as_is_stated(section: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def mark(device: torch.device) -> Callable[[], None]:
        return lambda: seen.append("reading a copy") if device.type == NAME else None

    monkeypatch.setattr(_transfers, "QUEUES", frozenset({NAME}))  # as on CUDA: a copy is queued, reading it waits
    monkeypatch.setattr(_transfers, "mark", mark)
    balancer: Balancer = BALANCERS.build(section, tasks())
    with waits() as seen:
        model = build_model()
        balancer.attach(model)
        model.to(pretended_device())
        balancer.to(pretended_device())
        balancer.enter_epoch(0, 3)
        batch = build_batch(0, holes=False).to(pretended_device())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        for _ in range(2):  # constants travel in the first step
            seen.clear()
            take(model, balancer, batch, optimizer)
    assert len(seen) == balancer.host_waits, seen


def test_waiting_is_seen() -> None:
    with waits() as seen:
        there = torch.ones(3).to(pretended_device())
        readings = [float(there.sum()), there.tolist(), there.cpu(), bool(there.any()), there.new_tensor([1.0])]
    assert len(readings) + 1 == len(seen)
    with waits() as seen:
        there.to("cpu", non_blocking=True)
        (there + 1).sum()
    assert seen == []
