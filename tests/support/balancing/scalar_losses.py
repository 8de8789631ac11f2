"""Losses that are plain numbers, and a training that is interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.balancing import Balancer, ForwardPass
from tests.support.tiny_training import run, tasks, weights_of

NAMES = tuple(task.name for task in tasks())


def losses(values: Sequence[float] = (2.0, 0.5, 0.1)) -> dict[str, Tensor]:
    """A loss per stand-in task, in their order, in float64."""
    return {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in zip(NAMES, values, strict=True)
    }


def step(balancer: Balancer, values: Sequence[float] | dict[str, Tensor], *, last: bool = True) -> list[float]:
    """The weights that a balancer gives to losses; checks that these are what the losses' gradients are."""
    by_task = values if isinstance(values, dict) else losses(values)
    before = {name: torch.zeros(()) if loss.grad is None else loss.grad.clone() for name, loss in by_task.items()}
    balance = balancer.backward(ForwardPass(nn.Module(), by_task, None, None, Tensor.backward, last=last))
    assert list(balance.weights) == list(by_task)
    weights = [float(weight) for weight in balance.weights.values()]
    for (name, loss), weight in zip(by_task.items(), weights, strict=True):
        assert loss.grad is not None
        assert loss.grad.item() - before[name].item() == weight
    return weights


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Ends a run."""


def assert_resumes_exactly(folder: Path, balancer: Any, stops: Sequence[int], **more: Any) -> Balancer:
    """Train the stand-ins in one go, and in pieces that end at ``stops``: everything ends the same, bit by bit."""
    model, whole, _ = run(folder / "whole", balancer=balancer, **more)
    for stop in stops:

        def interrupt(done: int, stop: int = stop) -> None:
            if done == stop:
                raise Interrupted

        try:
            run(folder / "parts", balancer=balancer, checkpoint_every=1, on_step=interrupt, **more)
        except Interrupted:
            torch.rand(17)  # whatever else the next process draws
        else:
            raise AssertionError(f"the run was not interrupted at step {stop}")
    resumed, parts, _ = run(folder / "parts", balancer=balancer, checkpoint_every=1, **more)
    expected, actual = weights_of(model, whole), weights_of(resumed, parts)
    assert actual.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(actual[name], value)] == []
    return whole
