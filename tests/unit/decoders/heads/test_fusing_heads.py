"""Heads that join coarse and fine levels: DeepLab-v3+ and UPerNet."""

from __future__ import annotations

from importlib import util
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from frugalmtl.core.checks import UserError
from frugalmtl.decoders.heads import HEADS, Head, uper

CHANNELS, STRIDES = [6, 8, 12, 16], [4, 8, 16, 32]
INSTALLED = util.find_spec("segmentation_models_pytorch") is not None


def build(name: str, **options: Any) -> Head:
    torch.manual_seed(0)
    head: Head = HEADS.build({"name": name, "width": 8, **options}, CHANNELS, STRIDES, 5)
    return head.eval()


def pyramid(batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch, channels, 64 // stride, 64 // stride, generator=generator)
        for channels, stride in zip(CHANNELS, STRIDES, strict=True)
    ]


def test_deeplab_joins_the_finest_level_with_the_resized_coarsest() -> None:
    head, levels = build("deeplab", low_width=4), pyramid()
    coarse = F.interpolate(head.pyramid(levels[-1]), size=(16, 16), mode="bilinear", align_corners=False)
    joined = torch.cat([coarse, head.low(levels[0])], dim=1)
    torch.testing.assert_close(head(levels), head.out(head.refine(joined)))
    assert joined.shape[1] == 12
    changed = [levels[0], levels[1] + 1.0, levels[2] + 1.0, levels[3]]
    assert torch.equal(head(changed), head(levels)), "the levels between are not read"


def test_deeplab_has_the_published_widths() -> None:
    head = HEADS.build("deeplab", [256, 512, 1024, 2048], [4, 8, 16, 16], 21)
    assert head.low[0].out_channels == 48
    assert [block[0].in_channels for block in head.refine] == [304, 256]
    assert [branch[0].dilation[0] for branch in list(head.pyramid.pyramid.convs)[1:4]] == [6, 12, 18]


@pytest.mark.skipif(not INSTALLED, reason="segmentation_models.pytorch is not installed")
def test_uper_reads_every_level() -> None:
    head, levels = build("uper"), pyramid()
    for index in range(4):
        changed = [level + (number == index) * torch.randn_like(level) for number, level in enumerate(levels)]
        assert not torch.equal(head(changed), head(levels))
    copies = [level.clone() for level in levels]
    head(levels)
    assert all(torch.equal(level, copy) for level, copy in zip(levels, copies, strict=True)), "levels are left alone"


def test_uper_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uper, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'frugalmtl\[segmentation\]'"):
        build("uper")


@pytest.mark.parametrize("name", ["deeplab", *(["uper"] if INSTALLED else [])])
def test_one_image_has_no_batch_statistics(name: str) -> None:
    head = build(name).train()
    with pytest.raises(UserError, match="raise batch_size"):
        head(pyramid(batch=1))


@pytest.mark.parametrize("options", [{"width": 0}, {"low_width": -1}, {"rates": [0]}, {"dropout": 2.0}])
def test_mistakes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        build("deeplab", **options)
