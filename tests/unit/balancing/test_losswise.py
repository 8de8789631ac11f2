"""Balancers that weigh losses: values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS
from frugalmtl.balancing.losswise.fixed import Fixed
from frugalmtl.balancing.losswise.uncertainty import Uncertainty
from frugalmtl.balancing.losswise.uniform import Uniform
from frugalmtl.core.checks import UserError
from tests.unit.engine.standins import tasks


def losses() -> dict[str, Tensor]:
    values = {"segmentation": 2.0, "depth": 0.5, "edges": 0.1}
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, 2.0 + 0.5 + 50 * 0.1),
        ("uniform", 2.6),
        ({"edges": 2.0}, 2.0 + 0.5 + 0.2),
        ({"segmentation": 0.0, "depth": 4.0, "edges": 1.0}, 2.1),
    ],
)
def test_fixed_weights_default_to_the_protocol(weights: Any, expected: float) -> None:
    total, used = Fixed(tasks(), weights=weights).combine(losses())
    assert total.item() == pytest.approx(expected)
    assert list(used) == ["segmentation", "depth", "edges"]


def test_uniform_counts_every_task_once() -> None:
    total, used = Uniform(tasks()).combine(losses())
    assert total.item() == pytest.approx(2.6)
    assert set(used.values()) == {1.0}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"dept": 1.0}, "Did you mean 'depth'"),
        ({"depth": -1.0}, "0 or more"),
        ({"depth": float("nan")}, "0 or more"),
        ("even", "weights"),
    ],
)
@pytest.mark.parametrize("name", ["fixed", "uncertainty", "pcgrad"])
def test_weights_that_do_not_fit_are_refused(name: str, weights: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        BALANCERS.build({"name": name, "weights": weights}, tasks())


def test_uncertainty_by_hand() -> None:
    """s = (ln 4, 0, -ln 2): the survey's form is 2/8 + ln 2 + 0.5/2 + 0 + 0.1/(2/2) - ln(2)/2."""
    balancer = Uncertainty(tasks())
    with torch.no_grad():
        for name, value in {"segmentation": math.log(4), "depth": 0.0, "edges": -math.log(2)}.items():
            balancer.log_variance[name].fill_(value)
    total, weights = balancer.combine(losses())
    assert total.item() == pytest.approx(0.25 + math.log(2) + 0.25 + 0.1 - math.log(2) / 2, rel=1e-6)
    assert [float(weight) for weight in weights.values()] == pytest.approx([0.125, 0.5, 1.0])


def test_kendalls_form_doubles_the_weight_of_classes() -> None:
    total, weights = Uncertainty(tasks(), form="kendall").combine(losses())
    assert [float(weight) for weight in weights.values()] == pytest.approx([1.0, 0.5, 0.5])
    assert total.item() == pytest.approx(2.0 + 0.25 + 0.05)


def test_uncertainty_gradients_by_hand() -> None:
    """d/ds (L e^-s / 2 + s / 2) = (1 - L e^-s) / 2, and d/dL = e^-s / 2."""
    balancer, values = Uncertainty(tasks(), init=0.5), losses()
    balancer.combine(values)[0].backward()
    for name, loss in values.items():
        gradient = balancer.log_variance[name].grad
        assert gradient is not None
        assert gradient.item() == pytest.approx((1 - loss.item() * math.exp(-0.5)) / 2, rel=1e-5)
        assert loss.grad is not None
        assert loss.grad.item() == pytest.approx(math.exp(-0.5) / 2, rel=1e-5)


def test_uncertainty_settles_where_the_variance_is_the_loss() -> None:
    balancer = Uncertainty(tasks())
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.5)
    fixed = {name: loss.detach() for name, loss in losses().items()}
    for _ in range(400):
        optimizer.zero_grad()
        balancer.combine(fixed)[0].backward()
        optimizer.step()
    for name, loss in fixed.items():
        assert balancer.log_variance[name].exp().item() == pytest.approx(loss.item(), rel=1e-3)


def test_uncertainty_takes_fixed_weights_as_a_base() -> None:
    _, weights = Uncertainty(tasks(), weights=None).combine(losses())
    assert [float(weight) for weight in weights.values()] == pytest.approx([0.5, 0.5, 25.0])
