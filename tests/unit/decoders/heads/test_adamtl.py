"""The head of AdaMTL: published size, the computation written out, mistakes, what deploying leaves."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from frugalmtl.core.checks import UserError
from frugalmtl.decoders.heads import HEADS, Head
from frugalmtl.evaluation.cost import storage

CHANNELS, STRIDES = (4, 6, 6), (8, 16, 16)


def build(**config: Any) -> Any:
    head: Head = HEADS.build({"name": "adamtl", "width": 5, **config}, CHANNELS, STRIDES, 3)
    return head.eval()


def pyramid() -> list[torch.Tensor]:
    return [torch.randn(2, 4, 6, 8), torch.randn(2, 6, 3, 4), torch.randn(2, 6, 3, 4)]


def scrambled(head: Any) -> Any:
    with torch.no_grad():
        for name, tensor in head.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if "running_var" in name else tensor.uniform_(-0.5, 0.5)
    return head


@torch.no_grad()
def test_head_is_blocks_then_one_fused_map() -> None:
    head, levels = scrambled(build()), pyramid()
    refined = [blocks(level) for blocks, level in zip(head.levels, levels, strict=True)]
    assert all(len(blocks) == 2 for blocks in head.levels)
    maps = [F.interpolate(level, size=(6, 8), mode="bilinear", align_corners=False) for level in refined]
    conv, norm, _ = head.fuse.mix
    fused = norm(conv(torch.cat(maps, 1))).relu()
    torch.testing.assert_close(head(levels), head.out(fused))
    assert (head.stride, head(levels).shape) == (8, (2, 3, 6, 8))


@torch.no_grad()
def test_deployed_head_is_equal() -> None:
    head, levels = scrambled(build()), pyramid()
    expected = head(levels)
    torch.testing.assert_close(deepcopy(head).deploy()(levels), expected, rtol=1e-4, atol=1e-4)


def test_published_size() -> None:
    """Half a decoder's dimension of 128 on the levels of Swin-T: two blocks of two 3x3 convolutions, a fused map."""
    head = HEADS.build("adamtl", (192, 384, 768, 768), (8, 16, 32, 32), 21)
    convolutions = sum(9 * 64 * level + level * 64 + 3 * 9 * 64 * 64 for level in (192, 384, 768, 768))
    rest = 4 * 5 * 2 * 64 + 256 * 64 + 64 + 2 * 64 + 64 * 21 + 21
    assert storage(head)[0] == convolutions + rest


@pytest.mark.parametrize(("config", "message"), [({"width": 0}, "width must be above 0"), ({"blocks": 0}, "1 or more")])
def test_refusals(config: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**config)
