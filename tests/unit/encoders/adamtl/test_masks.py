"""Draws of masks: their chances, and the gradients of unions against those by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.core.seeding import seed_everything
from frugalmtl.encoders.adamtl.training.masks import TAU, noisy, soft, union_mask


@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.5])
def test_hard_draws_are_on_with_the_sigmoid_of_the_logit(logit: float) -> None:
    seed_everything(0)
    drawn = noisy(torch.full((1, 40000), logit))
    chance = torch.sigmoid(torch.tensor(logit)).item()
    assert union_mask(drawn, "max").mean().item() == pytest.approx(chance, abs=4 * (0.25 / 40000) ** 0.5)
    noise = drawn - logit
    assert noise.mean().item() == pytest.approx(0.0, abs=0.05)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 3, rel=0.05)  # of the difference of two Gumbel draws


def test_one_task_is_a_straight_through_sigmoid() -> None:
    drawn = torch.tensor([[-3.0, -0.1, 0.2, 4.0]], requires_grad=True)
    for form in ("clamp", "probability", "max"):
        mask = union_mask(drawn, form)  # type: ignore[arg-type]
        assert mask.tolist() == [0.0, 0.0, 1.0, 1.0]
        (gradient,) = torch.autograd.grad(mask.sum(), drawn)
        expected = soft(drawn) * (1 - soft(drawn)) / TAU
        torch.testing.assert_close(gradient, expected.detach())


Z = torch.tensor([[-1.0, 1.0, 1.0, 2.0], [-2.0, -1.0, 3.0, 1.0], [-3.0, -2.0, -1.0, 3.0]])
"""Three tasks (rows); none, one, two and all three select (columns)."""


def by_hand(form: str) -> Tensor:
    """Gradient of the mask in the noisy logits."""
    on, s = Z > 0, torch.sigmoid(Z / TAU)
    slope = s * (1 - s) / TAU
    if form == "clamp":
        return slope * (on.sum(0) <= 1)
    if form == "max":
        return slope * (Z.max(0).values == Z)
    return slope * torch.stack([(1 - s[[o for o in range(3) if o != t]]).prod(0) for t in range(3)])


@pytest.mark.parametrize("form", ["clamp", "probability", "max"])
def test_unions_and_their_gradients(form: str) -> None:
    drawn = Z.clone().requires_grad_()
    mask = union_mask(drawn, form)  # type: ignore[arg-type]
    assert mask.tolist() == [0.0, 1.0, 1.0, 1.0]
    (gradient,) = torch.autograd.grad(mask.sum(), drawn)
    torch.testing.assert_close(gradient, by_hand(form))
    assert bool((gradient[:, 2:] == 0).all()) == (form == "clamp")  # what two tasks want can be switched off


def test_the_gradient_of_the_probability_is_that_of_independent_draws() -> None:
    logits = torch.tensor([0.3, -0.8, 1.1], dtype=torch.float64, requires_grad=True)
    chances = torch.sigmoid(logits)
    outcomes = [[bool(number >> task & 1) for task in range(3)] for number in range(8)]
    expected = sum(
        torch.stack([c if on else 1 - c for c, on in zip(chances, outcome, strict=True)]).prod() * any(outcome)
        for outcome in outcomes
    )
    (exact,) = torch.autograd.grad(expected, logits)  # type: ignore[arg-type]
    again = logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(union_mask(again[:, None] * TAU, "probability").sum(), again)
    torch.testing.assert_close(gradient, exact)
