"""MacTally against MacCounter: the same numbers, whatever the operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.backbones.families import FAMILIES
from frugalmtl.core.counting import MacCounter, MacTally
from tests.support.backbones import tiny_backbone


class Several(nn.Module):
    """Operations of all kinds, among them such that torch defines by others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, groups=1)
        self.linear = nn.Linear(8, 4)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.back = nn.ConvTranspose2d(8, 2, 2, stride=2)
        self.register_buffer("matrix", torch.eye(6).to_sparse_csr())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image ``[B, 3, H, W]`` -> whatever was computed."""
        features = self.conv(image)
        tokens = self.layer(features.flatten(2).transpose(1, 2))
        attended = F.scaled_dot_product_attention(tokens[:, None], tokens[:, None], tokens[:, None])
        product = torch.einsum("bchw,bdhw->bcd", features, features)
        sparse = torch.sparse.mm(self.matrix, image[0, 0, :6])
        strided = self.linear(features.transpose(1, 3))
        larger = F.interpolate(self.back(features), scale_factor=2.0, mode="bilinear")
        return attended, product, sparse, strided, larger


def assert_same(module: nn.Module, image: Tensor) -> None:
    with MacCounter(module) as counter:
        module(image)
    tally = MacTally(module)
    with tally.ready():
        assert tally.macs(image) == (counter.macs(), counter.attention.macs)
        assert tally.macs(image) == (counter.macs(), counter.attention.macs), "sums of a pass before count"
    assert counter.macs() > 0


@pytest.mark.parametrize("inference", [False, True])
def test_operations_of_all_kinds(inference: bool) -> None:
    module = Several().train()
    with torch.inference_mode(inference):  # tensors made there bring composite operations whole
        image = torch.rand(2, 3, 6, 8)
    assert_same(module, image)
    assert module.training


@pytest.mark.parametrize("kind", FAMILIES.names())
def test_backbones(kind: str) -> None:
    assert_same(tiny_backbone(kind), torch.rand(1, 3, 64, 64))
