"""Waits of the host for the device in training steps: where the price is set or a program is written alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from frugalmtl.balancing import BALANCERS, ForwardPass
from frugalmtl.core.types import Batch
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step_timing import StepTimer, noise_batch
from frugalmtl.losses import Criterion
from frugalmtl.model import MultiTaskModel
from tests.support.balancing.pretended_device import pretended_device, waits
from tests.support.channels import image
from tests.support.gated import SIDE, draw_gates, gated, toy_model, toy_tasks

EPOCHS = 4
"""Of the joint stage; in the last two gates are frozen."""
BUDGET: dict[str, Any] = {"budget": "0.7x", "frozen_share": 0.5, "pretrain_share": 0.0}


def planned(**settings: Any) -> MultiTaskModel:
    model = toy_model(**{**BUDGET, **settings}).train()
    plan_encoder(model, SIDE)
    model.enter_stage("joint")
    return model


def take(model: MultiTaskModel, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    """One optimiser step without the engine's check of the losses, which waits on other devices than CUDA."""
    balancer = BALANCERS.build("uniform", toy_tasks())
    predictions = model(batch.image)
    losses = Criterion(toy_tasks())(predictions, batch).by_task
    balancer.backward(ForwardPass(model, losses, predictions.penalties["sparsity"], None, torch.Tensor.backward))
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def waits_by_step(model: MultiTaskModel, epoch: int, steps: int) -> list[list[str]]:
    """What makes the host wait in every step of an epoch, on a device that runs behind it."""
    result = []
    with waits() as seen:
        model.to(pretended_device())
        batch = noise_batch(toy_tasks(), SIDE, 2).to(pretended_device())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, foreach=False)
        model.enter_epoch(epoch, EPOCHS)
        for step in range(steps):
            seen.clear()
            model.enter_step((epoch + step / steps) / EPOCHS)
            take(model, batch, optimizer)
            result.append(list(seen))
    return result


def test_learning_steps_wait_only_where_the_price_is_set() -> None:
    counts = [len(seen) for seen in waits_by_step(planned(price_every=4), 0, 10)]
    assert [step for step, count in enumerate(counts) if count] == [0, 4, 8]


def test_steps_without_a_budget_do_not_wait() -> None:
    first, *others = waits_by_step(planned(budget=None, tau=0.3), 0, 4)
    assert len(first) == 1, "the number of steps is read once"
    assert not any(others)


def test_frozen_steps_wait_only_for_what_is_left_to_run() -> None:
    first, *others = waits_by_step(planned(), 2, 4)
    assert first
    assert not any(others), others


def test_steps_between_wait_only_after_gates_have_learned() -> None:
    counts = [len(seen) for seen in waits_by_step(planned(gate_every=4, price_every=4), 0, 10)]
    assert [step for step, count in enumerate(counts) if count] == [0, 1, 4, 5, 8, 9]


def test_some_tasks_wait_no_more_than_all() -> None:
    encoder = gated("cifar_resnet", 3, **BUDGET).train()
    draw_gates(encoder, 1)
    with waits() as seen, torch.no_grad():
        encoder.to(pretended_device())
        batch = image().to(pretended_device())
        seen.clear()
        encoder.branch(encoder.encode(batch, ["near", "edge"]), ["near", "edge"])
    assert seen == []


@contextmanager
def strict() -> Iterator[None]:
    """Raises where the host waits for a CUDA device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="counts waits for a GPU")
@pytest.mark.parametrize("epoch", [0, 2], ids=["learning", "frozen"])
def test_no_wait_on_cuda(epoch: int) -> None:
    """Whole steps of the engine, with its check of the losses and the optimisers of weights and gates."""
    model = planned(price_every=4).to("cuda")
    balancer = BALANCERS.build("uniform", toy_tasks())
    timer = StepTimer.at_stage(
        model, balancer, TrainSettings(epochs=EPOCHS), noise_batch(toy_tasks(), SIDE, 2), update=True
    )
    model.enter_epoch(epoch, EPOCHS)
    step: Callable[[int], None] = lambda number: model.enter_step((epoch + number / 8) / EPOCHS)  # noqa: E731
    step(0)
    timer.take()  # constants travel
    for number in range(1, 4):
        with strict():
            step(number)
            timer.take()
    assert isinstance(model.encoder, InterroGate)
    assert model.encoder.schedule.frozen == (epoch == 2)
