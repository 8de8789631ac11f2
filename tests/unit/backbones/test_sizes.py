"""Sizes of timm transformers: what is built, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.backbones import BACKBONES, Backbone
from frugalmtl.backbones.views import tokens_of
from frugalmtl.core.checks import UserError

SWIN, VIT = "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"


def build(model: str, **config: Any) -> Backbone:
    backbone: Backbone = BACKBONES.build({"name": "timm", "model": model, **config})
    return backbone


def test_sizes_of_a_swin() -> None:
    sizes = {"embed_dim": 8, "depths": [1, 2, 3, 1], "num_heads": [1, 2, 4, 8], "window_size": 4}
    backbone = build(SWIN, sizes=sizes, pyramid="merged").eval()
    assert backbone.channels == [16, 32, 64, 64]
    blocks = [
        (info, block) for info in backbone.blocks if tokens_of(block := backbone.get_submodule(info.name)) is not None
    ]
    assert [info.stage for info, _ in blocks] == [0, 1, 1, 2, 2, 2, 3]
    assert [block.attn.num_heads for _, block in blocks] == [1, 2, 2, 4, 4, 4, 8]
    assert {tuple(block.window_size) for _, block in blocks} == {(4, 4)}
    assert [level.shape[2:] for level in backbone(torch.randn(1, 3, 64, 96))] == [(8, 12), (4, 6), (2, 3), (2, 3)]


def test_sizes_of_a_vision_transformer() -> None:
    sizes = {"embed_dim": 24, "depth": 5, "num_heads": 2, "patch_size": 8}
    backbone = build(VIT, sizes=sizes, pyramid="stages").eval()
    blocks = [block for info in backbone.blocks if tokens_of(block := backbone.get_submodule(info.name)) is not None]
    assert [block.block.attn.num_heads for block in blocks] == [2] * 5
    assert {(level.shape[1], *level.shape[2:]) for level in backbone(torch.randn(1, 3, 64, 96))} == {(24, 8, 12)}


def test_sizes_that_are_not_set_stay() -> None:
    with torch.device("meta"):
        whole, deeper = build(SWIN), build(SWIN, sizes={"depths": [2, 2, 7, 2]})
    assert (deeper.channels, len(deeper.blocks)) == (whole.channels, len(whole.blocks) + 1)


@pytest.mark.parametrize(
    ("model", "sizes", "message"),
    [
        (SWIN, {"depth": 4}, r"'depth': expected one of depths, embed_dim.* Did you mean 'depths'\?"),
        (VIT, {"window_size": 4}, "'window_size': expected one of depth, embed_dim, num_heads, patch_size"),
        (SWIN, {"depths": [2, 2, 2]}, r"depths must be a list of 4 whole numbers.*, but got \[2, 2, 2\]"),
        (SWIN, {"depths": 2}, "depths must be a list of 4 whole numbers.*, but got 2"),
        (SWIN, {"depths": [2, 2, 2, "two"]}, r"depths\[3\] must be a whole number, but got 'two'"),
        (SWIN, {"embed_dim": [32]}, "embed_dim must be a whole number"),
        (VIT, {"embed_dim": 32.5}, "embed_dim must be a whole number"),
        (VIT, {"embed_dim": True}, "embed_dim must be a whole number"),
        (VIT, {"depth": 0}, "depth must be above 0, but got 0"),
        (SWIN, {"num_heads": [1, 2, 4, -8]}, "num_heads must be above 0, but got -8"),
        (SWIN, {"embed_dim": 32}, r"num_heads \[3, 6, 12, 24\] must divide the widths \[32, 64, 128, 256\].* 3 does"),
        (VIT, {"num_heads": 5}, "num_heads 5 must divide the width 192"),
        (VIT, {"patch_size": 4}, "patch_size must be 8, 16 or 32, but got 4"),
        ("resnet18", {"depth": 4}, "sizes needs a Swin Transformer or a vision transformer, but got {depth: 4}"),
    ],
)
def test_refused_sizes(model: str, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(model, sizes=sizes)


def test_published_weights_fit_no_other_sizes() -> None:
    with pytest.raises(UserError, match=r"weights 'swin\.pth' fit .* leave out one of the two"):
        build(SWIN, sizes={"window_size": 4}, weights="swin.pth")
