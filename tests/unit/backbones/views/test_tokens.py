"""Token views of Vision and Swin Transformers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import TokenHalves, tokens_of
from tests.support.backbones import tiny_backbone

KINDS = ("swin_transformer", "vision_transformer")


def states(backbone: Backbone, image: Tensor) -> list[tuple[TokenHalves, Tensor]]:
    """The blocks with tokens, each with a state that it meets."""
    pairs, state = [], image
    for info in backbone.blocks:
        block = backbone.get_submodule(info.name)
        view = tokens_of(block)
        if view is not None:
            pairs.append((view, state))
        state = block(state)
    return pairs


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (224, 192)])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_halves_in_windows_add_up_to_the_block(kind: str, size: tuple[int, int]) -> None:
    backbone = tiny_backbone(kind).double().eval()
    pairs = states(backbone, torch.randn(2, 3, *size, dtype=torch.float64))
    assert len(pairs) >= 2
    for view, grid in pairs:
        batch, height, width, channels = grid.shape
        places = view.places(height, width)
        inside = places[places < height * width]
        assert inside.sort().values.tolist() == list(range(height * width))  # every token in one window
        padding = (places == height * width).expand(batch, *places.shape).flatten(0, 1)
        flat = torch.cat([grid.flatten(1, 2), grid.new_zeros(batch, 1, channels)], 1)
        windows = torch.arange(len(places)).repeat(batch)
        added = view.attend(flat[:, places].flatten(0, 1), windows, (height, width), padding if padding.any() else None)
        attended = torch.zeros_like(flat)
        attended[:, places.flatten()] = added.view(batch, -1, channels)
        by_windows = attended[:, :-1].view(grid.shape)
        torch.testing.assert_close(by_windows, view.attention(grid))
        states_between = grid + by_windows
        torch.testing.assert_close(states_between + view.mlp(states_between), view.block(grid))


def test_some_windows_attend_as_among_all() -> None:
    backbone = tiny_backbone("swin_transformer").double().eval()
    for view, grid in states(backbone, torch.randn(1, 3, 224, 224, dtype=torch.float64)):
        places = view.places(*grid.shape[1:3])
        tokens = grid.flatten(1, 2)[0][places]
        everywhere = torch.arange(len(places))
        whole = view.attend(tokens, everywhere, (grid.shape[1], grid.shape[2]))
        some = everywhere[::3]
        torch.testing.assert_close(view.attend(tokens[some], some, (grid.shape[1], grid.shape[2])), whole[some])


def test_blocks_of_other_kinds_have_no_tokens() -> None:
    backbone = tiny_backbone("resnet")
    assert all(tokens_of(backbone.get_submodule(info.name)) is None for info in backbone.blocks)
