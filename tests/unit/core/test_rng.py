"""Random generators: the same draws again, and draws that are unnoticed by what follows."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.core.rng import RngState, drawn_apart


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


def test_draws_apart_follow_from_seed_and_name_and_leave_no_trace() -> None:
    drawn = {}
    for seed in (3, 4):
        torch.manual_seed(seed)
        expected = torch.rand(3)
        for name in ("gates", "policies"):
            torch.manual_seed(seed)
            with drawn_apart(name):
                drawn[seed, name] = torch.rand(1).item()
            assert torch.initial_seed() == seed
            assert torch.equal(torch.rand(3), expected), (seed, name)
            with drawn_apart(name):
                assert torch.rand(1).item() == drawn[seed, name], "the draws before them count"
    assert len(set(drawn.values())) == len(drawn)
