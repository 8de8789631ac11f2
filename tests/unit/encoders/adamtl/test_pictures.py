"""Pictures of what is computed of single images."""

from __future__ import annotations

import pytest
import torch

from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Curve, Distribution, Overlay
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.adamtl.encoder import AdaMTLEncoder
from tests.support.backbones import tiny_backbone


def test_pictures_of_images() -> None:
    seed_everything(0)
    encoder = ENCODERS.build({"name": "adamtl", "points": ["0.5x"]}, tiny_backbone("swin_transformer"), ("near",))
    assert isinstance(encoder, AdaMTLEncoder)
    encoder.eval()
    encoder.calibration.threshold.fill_(-100.0)
    images = torch.randn(8, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * torch.arange(1, 9).view(
        -1, 1, 1, 1
    )
    pictures = {picture.name: picture for picture in encoder.image_pictures(images)}
    decided, cost = encoder.decide(images), encoder.image_cost((64, 96))
    costs = (cost(decided) / 1e9).tolist()

    compute = pictures["compute_per_image"]
    assert isinstance(compute, Distribution)
    assert compute.groups["as shown"] == pytest.approx(costs)
    assert compute.groups["0.5x"] == pytest.approx([cost.dearest / 1e9] * 8)
    order = sorted(range(8), key=lambda number: costs[number])
    assert compute.extremes == order[:3] + order[-3:]
    assert compute.extreme_values == pytest.approx([costs[number] for number in compute.extremes])

    blocks = [block for stage in encoder.stages for block in stage.blocks]
    for kind, number in (("cheapest", order[0]), ("dearest", order[-1])):
        overlay = pictures[f"tokens_{kind}"]
        assert isinstance(overlay, Overlay)
        assert overlay.images == [number] * len(blocks)
        assert [panel.removesuffix(": off") for panel in overlay.panels] == blocks, "shares are added when it is drawn"
        for block, mask in zip(blocks, overlay.masks, strict=True):
            assert mask == decided[f"tokens.{block}"][number].float().tolist()

    curve = pictures["tokens_per_block"]
    assert isinstance(curve, Curve)
    expected = [(at + 1.0, decided[f"tokens.{block}"].float().mean().item()) for at, block in enumerate(blocks)]
    assert [at for at, _ in curve.lines["tokens, as shown"]] == [at for at, _ in expected]
    assert [share for _, share in curve.lines["tokens, as shown"]] == pytest.approx([share for _, share in expected])
    assert curve.lines["images, 0.5x"] == [(at + 1.0, 1.0) for at in range(len(blocks))]


def test_pictures_of_decisions_that_are_given() -> None:
    encoder = ENCODERS.build("adamtl", tiny_backbone("vision_transformer"), ("near",)).eval()
    images = torch.randn(2, 3, 64, 64)
    nothing = {name: torch.zeros_like(value) for name, value in encoder.decide(images).items()}
    pictures = {picture.name: picture for picture in encoder.image_pictures(images, nothing)}
    assert list(pictures) == ["tokens_cheapest", "tokens_dearest", "compute_per_image", "tokens_per_block"]
    assert all(not any(map(any, mask)) for mask in pictures["tokens_dearest"].masks)
    assert pictures["tokens_dearest"].panels[0].endswith("off")
