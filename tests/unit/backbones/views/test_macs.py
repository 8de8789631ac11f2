"""Multiply-adds per block: they add up to the backbone, shortcuts and branches apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.timm import Timm
from frugalmtl.backbones.views import macs_per_block, residual_blocks
from frugalmtl.evaluation.cost import count
from tests.support.channels import SIZE
from tests.support.views.residual import KINDS, residual_backbone


class Chain(nn.Module):
    """The blocks of a backbone without the neck."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.stages = backbone.stages

    def forward(self, state: Tensor) -> Tensor:
        for stage in self.stages:
            state = stage(state)
        return state


@pytest.mark.parametrize("kind", [*KINDS, "high_resolution_net", "efficientnet"])
def test_blocks_add_up_to_the_backbone(kind: str) -> None:
    backbone = residual_backbone(kind).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    macs = macs_per_block(backbone, SIZE)
    assert list(macs) == [info.name for info in backbone.blocks]
    assert sum(block.total for block in macs.values()) == count(Chain(backbone), SIZE).macs > 0
    assert all(part.training for part in backbone.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def test_a_projection_is_counted_apart() -> None:
    backbone = Timm(model="resnet18")
    macs = macs_per_block(backbone, (64, 64))
    block = macs["stages.1.0"]
    assert block.branch == 8 * 8 * 9 * 128 * (64 + 128)
    assert block.shortcut == 8 * 8 * 64 * 128
    assert block.after == 0.0
    views = residual_blocks(backbone)
    assert all((macs[name].shortcut > 0) == (view.projection is not None) for name, view in views.items() if view)


def test_attention_counts() -> None:
    """Projections to queries, keys, values and back, two products, and the MLP: on 16 tokens."""
    backbone = residual_backbone("vision_transformer")
    block = macs_per_block(backbone, (64, 64))["stages.0.1"]
    width, tokens = backbone.stage_channels[0][0], 16
    hidden = backbone.get_submodule("stages.0.1").block.mlp.fc1.out_features
    assert block.branch == tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    assert block.shortcut == 0.0
