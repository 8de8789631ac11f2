"""Adam with its state in buffers against torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.balancing.scalarization.bilevel._buffered_adam import BufferedAdam
from frugalmtl.core.checks import UserError

YES, NO = torch.tensor(True), torch.tensor(False)


def gradients(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(4, generator=generator) * 10 ** (-index % 3) for index in range(count)]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_twenty_steps_are_torchs(weight_decay: float) -> None:
    expected = torch.nn.Parameter(torch.linspace(-1, 2, 4))
    optimizer = torch.optim.Adam([expected], lr=0.025, weight_decay=weight_decay, foreach=False)
    values = expected.detach().clone()
    adam = BufferedAdam(values, "famo", 0.025, weight_decay)
    for gradient in gradients(20):
        expected.grad = gradient.clone()
        optimizer.step()
        adam(values, gradient, YES)
    assert torch.equal(values, expected.detach())


def test_the_state_travels_in_the_state_dict() -> None:
    whole = torch.ones(4)
    adam = BufferedAdam(whole, "famo", 0.1, 0.01)
    for gradient in gradients(6)[:3]:
        adam(whole, gradient, YES)
    part, fresh = whole.clone(), BufferedAdam(whole, "famo", 0.1, 0.01)
    fresh.load_state_dict({name: value.clone() for name, value in adam.state_dict().items()})
    for gradient in gradients(6)[3:]:
        adam(whole, gradient, YES)
        fresh(part, gradient, YES)
    assert torch.equal(whole, part)
    assert int(adam.steps) == 6
    assert not list(adam.parameters())


def test_a_gradient_that_is_not_valid_changes_nothing() -> None:
    values = torch.ones(4)
    adam = BufferedAdam(values, "famo", 0.1, 0.01)
    adam(values, gradients(1)[0], YES)
    before = {"values": values.clone(), **{name: value.clone() for name, value in adam.state_dict().items()}}
    adam(values, torch.full((4,), torch.nan), NO)
    after = {"values": values, **adam.state_dict()}
    assert [name for name, value in before.items() if not torch.equal(after[name], value)] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "lr of famo must be above 0, but got 0"),
        ({"lr": -1.0}, "lr of famo must be above 0"),
        ({"lr": float("inf")}, "lr of famo must be finite"),
        ({"weight_decay": -0.1}, "weight_decay of famo must be 0 or more"),
        ({"weight_decay": float("nan")}, "weight_decay of famo must be 0 or more, but got nan"),
        ({"weight_decay": float("inf")}, "weight_decay of famo must be finite"),
        ({"betas": (1.0, 0.999)}, "betas of famo must be 0 or more and below 1"),
        ({"betas": (0.9, -0.1)}, "betas of famo must be 0 or more and below 1"),
        ({"betas": (0.9, float("nan"))}, "betas of famo must be 0 or more and below 1"),
        ({"eps": 0.0}, "eps of famo must be above 0"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BufferedAdam(torch.zeros(2), "famo", **{"lr": 0.1, **options})
