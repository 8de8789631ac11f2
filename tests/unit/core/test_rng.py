"""RngState: the same draws again, unnoticed by what follows."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.core.rng import RngState


def test_draws_are_repeated_and_leave_no_trace() -> None:
    state = RngState(torch.device("cpu"))
    first = torch.rand(5)
    with state.restored():
        assert torch.equal(torch.rand(5), first)
    after = torch.rand(5)
    with state.restored():
        repeated = torch.rand(10)
    assert torch.equal(repeated, torch.cat([first, after]))


def test_the_generators_go_on_after_an_error() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    state = RngState(torch.device("cpu"))

    def fail() -> None:
        with state.restored():
            torch.rand(7)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert torch.equal(torch.rand(3), expected)
