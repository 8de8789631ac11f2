"""IMTL against the method written by hand, update by update."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from frugalmtl.balancing import BALANCERS
from frugalmtl.balancing.aggregation.imtl import IMTL
from frugalmtl.balancing.scalarization.imtl_l import IMTLL
from tests.support.balancing.bilevel_steps import Small, backward, inputs
from tests.support.tiny_training import tasks
from tests.unit.balancing.aggregation.test_imtl_g import closed_form

LR = 0.05


def imtl(**options: object) -> IMTL:
    balancer: IMTL = BALANCERS.build({"name": "imtl", **options}, tasks())
    return balancer.double()


def scales_of(balancer: IMTL) -> list[Parameter]:
    """In the order of the tasks."""
    assert isinstance(balancer.scalarizer, IMTLL)
    return [balancer.scalarizer.log_scale[task.name] for task in tasks()]


def update_by_hand(model: Small, scales: Tensor, batch: Tensor) -> None:
    """The trunk moves by the weighted sum, heads and scales by the plain one (as in LibMTL's code)."""
    features = model.encoder(batch)
    losses = torch.stack([(head(features) - i).square().mean() * 3.0**i for i, head in enumerate(model.heads)])
    scaled = scales.exp() * losses - scales
    rows = [torch.autograd.grad(loss, features, retain_graph=True)[0] for loss in scaled]
    weights = torch.from_numpy(closed_form(torch.stack([row.flatten() for row in rows]).numpy()))
    apart = [*model.heads.parameters(), scales]
    alone = torch.autograd.grad(scaled.sum(), apart, retain_graph=True)
    trunk = [*model.encoder.parameters()]
    direction = sum(weight * row for weight, row in zip(weights, rows, strict=True))
    assert isinstance(direction, Tensor)
    together = torch.autograd.grad(features, trunk, direction)
    with torch.no_grad():
        for parameter, gradient in zip([*apart, *trunk], [*alone, *together], strict=True):
            parameter -= LR * gradient


def test_every_update_is_that_of_the_method() -> None:
    model, balancer = Small().double(), imtl()
    other, scales = copy.deepcopy(model), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([*model.parameters(), *balancer.parameters()], lr=LR)
    for step in range(25):
        optimizer.zero_grad()
        backward(model, balancer, [inputs(step)])
        optimizer.step()
        update_by_hand(other, scales, inputs(step))
        torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=1e-7, atol=1e-9)
        learned = torch.stack(scales_of(balancer))
        torch.testing.assert_close(learned, scales.detach(), rtol=1e-9, atol=1e-12)
    assert float(scales.detach().abs().min()) > 0.005  # the scales have moved, each


def test_it_is_the_stack_of_its_halves() -> None:
    gradients = []
    for section in ({"name": "imtl"}, {"name": "imtl_g", "losses": "imtl_l"}):
        model, balancer = Small().double(), BALANCERS.build(section, tasks()).double()
        backward(model, balancer, [inputs(0)])
        gradients.append({name: item.grad for name, item in [*model.named_parameters(), *balancer.named_parameters()]})
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_scales_decide_how_long_the_direction_is_not_where_it_goes() -> None:
    directions = []
    for scales in ((0.0, 0.0, 0.0), (1.0, -1.0, 0.5)):
        model, balancer = Small().double(), imtl()
        for parameter, value in zip(scales_of(balancer), scales, strict=True):
            parameter.data.fill_(value)
        backward(model, balancer, [inputs(0)])
        directions.append(torch.cat([p.grad.flatten() for p in model.encoder.parameters() if p.grad is not None]))
    cosine = torch.nn.functional.cosine_similarity(*directions, dim=0)
    assert abs(float(cosine)) == pytest.approx(1.0, abs=1e-9)
    assert not torch.allclose(*directions)


def test_options_of_the_scalarizer_hold() -> None:
    balancer = imtl(losses={"name": "imtl_l", "init": 0.5})
    weights = backward(Small().double(), balancer, [inputs(0)]).weights
    assert sum(float(weight) for weight in weights.values()) == pytest.approx(math.exp(0.5))
