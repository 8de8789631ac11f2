"""IMTL-L: learned scales."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torchjd.scalarization import IMTLL as Reference  # noqa: N811

from frugalmtl.balancing import BALANCERS, ForwardPass
from frugalmtl.balancing.scalarization.imtl_l import IMTLL
from tests.support.balancing.scalar_losses import NAMES, losses, step
from tests.support.tiny_training import tasks

LOSSES = (2.0, 0.5, 0.1)
SCALES = (0.3, -1.0, 2.0)


def with_scales(balancer: IMTLL) -> IMTLL:
    with torch.no_grad():
        for name, value in zip(NAMES, SCALES, strict=True):
            balancer.log_scale[name].fill_(value)
    return balancer


def gradients(balancer: IMTLL) -> list[float]:
    actual = [balancer.log_scale[name].grad for name in NAMES]
    return [gradient.item() for gradient in actual if gradient is not None]


def test_it_is_found_by_its_name() -> None:
    assert isinstance(BALANCERS.build("imtl_l", tasks()), IMTLL)


def test_gradients_are_the_references() -> None:
    balancer, reference = with_scales(IMTLL(tasks())), Reference(3)
    with torch.no_grad():
        reference.log_scale.copy_(torch.tensor(SCALES))
    values = torch.tensor(LOSSES, requires_grad=True)
    reference(values).backward()
    assert values.grad is not None
    assert reference.log_scale.grad is not None
    assert step(balancer, LOSSES) == pytest.approx(values.grad.tolist())
    assert gradients(balancer) == pytest.approx(reference.log_scale.grad.tolist())


@pytest.mark.parametrize(("normalise", "total"), [("sum", 3.0), ("mean", 1.0)])
def test_scales_learn_from_the_objective_whatever_the_normalisation(normalise: str, total: float) -> None:
    """d/ds (exp(s) w L - s) = exp(s) w L - 1, with the loss scale of the pass."""
    balancer = with_scales(IMTLL(tasks(), weights={"depth": 4.0, "edges": 1.0}, normalise=normalise))  # type: ignore[arg-type]
    by_task = losses(LOSSES)
    balance = balancer.backward(
        ForwardPass(nn.Module(), by_task, None, None, lambda loss: (loss * 8).backward(), scale=8.0)
    )
    raw = [math.exp(scale) for scale in SCALES]
    expected = [total * factor / sum(raw) * fixed for factor, fixed in zip(raw, (1, 4, 1), strict=True)]
    assert [float(weight) for weight in balance.weights.values()] == pytest.approx(expected)
    products = [factor * fixed * loss for factor, fixed, loss in zip(raw, (1, 4, 1), LOSSES, strict=True)]
    assert gradients(balancer) == pytest.approx([8 * (product - 1) for product in products], rel=1e-5)


def test_scaled_losses_settle_at_one() -> None:
    balancer = IMTLL(tasks(), init=0.5)
    assert step(balancer, LOSSES) == pytest.approx([math.exp(0.5)] * 3)
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        step(balancer, LOSSES)
        optimizer.step()
    assert step(balancer, LOSSES) == pytest.approx([1 / loss for loss in LOSSES], rel=1e-3)


def test_a_task_without_labels_leaves_its_scale_alone() -> None:
    balancer = with_scales(IMTLL(tasks()))
    step(balancer, (2.0, 0.0, 0.1))
    assert [gradient == 0 for gradient in gradients(balancer)] == [False, True, False]
