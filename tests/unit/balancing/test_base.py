"""Scales of weights, and norms and cosines for the log."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.balancing._report import compared
from frugalmtl.balancing.base import rescaled

NAMES = ("a", "b")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("normalise", ["sum", "mean"])
def test_weights_that_are_all_zero_stay_so(normalise: Any, dtype: torch.dtype) -> None:
    for count in (1, 4, 7):
        assert rescaled(torch.zeros(count, dtype=dtype), normalise).tolist() == [0.0] * count


def test_weights_of_both_signs_are_rescaled_by_their_size() -> None:
    assert rescaled(torch.tensor([1.0, -3.0]), "mean").tolist() == [0.25, -0.75]
    assert rescaled(torch.tensor([1.0, -3.0]), "sum").tolist() == [0.5, -1.5]


def test_norms_are_those_of_unweighted_losses_and_cosines_have_no_scale() -> None:
    gramian = torch.tensor([[4.0, -3.0], [-3.0, 9.0]], dtype=torch.float64)
    balance = compared(NAMES, gramian, [0.5, 3.0], [2.0, 1.0])
    assert balance.weights == {"a": 0.5, "b": 3.0}
    assert balance.norms == {"a": 1.0, "b": 3.0}
    assert balance.cosines == {"a~b": pytest.approx(-0.5)}


@pytest.mark.parametrize("value", [0.0, float("inf"), float("nan")])
def test_what_cannot_be_compared_is_left_out(value: float) -> None:
    """An overflow under loss scaling must not spoil the means of an epoch."""
    balance = compared(NAMES, torch.full((2, 2), value, dtype=torch.float64), [1.0, 1.0], [1.0, 1.0])
    assert balance.weights == {"a": 1.0, "b": 1.0}
    assert balance.norms == {}
    assert balance.cosines == {}
