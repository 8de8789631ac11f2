"""Gated blocks, token by token, against the formula by hand."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.backbones.views import TokenHalves
from frugalmtl.encoders.adamtl.layout import token_halves
from frugalmtl.encoders.adamtl.options import ExecutionOptions
from frugalmtl.encoders.adamtl.training.forward import gated_block
from frugalmtl.encoders.adamtl.windows import active_windows, spread
from tests.support.backbones import tiny_backbone


def shifted() -> TokenHalves:
    view = token_halves(tiny_backbone("swin_transformer").eval(), "stages.1.2")
    assert tuple(view.block.shift_size) != (0, 0)
    return view


@pytest.mark.parametrize("attention", ["windows", "dense"])
@pytest.mark.parametrize("dropped", ["identity", "norm"])
@torch.no_grad()
def test_tokens_and_blocks_that_are_off(attention: str, dropped: str) -> None:
    view = shifted()
    state = torch.randn(3, 8, 12, 32)
    places = view.places(8, 12)
    mask = torch.rand(3, 8, 12) < 0.02
    mask[2] = True
    runs = torch.tensor([1.0, 1.0, 0.0])
    execution = ExecutionOptions(attention=attention, dropped=dropped)  # type: ignore[arg-type]
    after = gated_block(view, state, runs, mask.float(), places, execution)
    attends = spread(active_windows(mask, places), places, (8, 12))
    assert not attends.all()
    attended = view.attention(state)
    for image in range(3):
        for row in range(8):
            for column in range(12):
                x = state[image, row, column]
                u = x + attended[image, row, column] if attends[image, row, column] or attention == "dense" else x
                y = u + view.mlp(u) if mask[image, row, column] else u
                if dropped == "norm" and not mask[image, row, column]:
                    y = u + view.normalised(u)
                expected = y if runs[image] else x
                torch.testing.assert_close(after[image, row, column], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_all_on_is_the_block() -> None:
    view = shifted()
    state, places = torch.randn(2, 8, 12, 32), view.places(8, 12)
    for attention in ("windows", "dense"):
        execution = ExecutionOptions(attention=attention)  # type: ignore[arg-type]
        after = gated_block(view, state, torch.ones(2), torch.ones(2, 8, 12), places, execution)
        torch.testing.assert_close(after, view.block(state))


def test_a_window_that_is_off_learns_to_attend_by_its_tokens() -> None:
    view = shifted()
    state, places = torch.randn(1, 8, 12, 32), view.places(8, 12)
    mask = torch.zeros(1, 8, 12, requires_grad=True)
    execution = ExecutionOptions()
    gated_block(view, state, torch.ones(1), mask, places, execution).square().sum().backward()
    assert mask.grad is not None
    assert (mask.grad != 0).all()
