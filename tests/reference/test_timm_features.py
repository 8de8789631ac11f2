"""Chains of blocks against timm's own feature extraction, with the same weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch

from frugalmtl.backbones.timm import Timm
from tests.support.backbones import family_of


def features_only(model: str, weights: dict[str, torch.Tensor], **arguments: object) -> torch.nn.Module:
    """timm's ``features_only`` form, whose flattened names are mapped back."""
    network = timm.create_model(model, features_only=True, **arguments)
    names = {name: re.sub(r"^(stem|layers|stages)_(\d+)", r"\1.\2", name) for name in network.state_dict()}
    network.load_state_dict({name: weights[full] for name, full in names.items()})
    return network.eval()


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("resnet18", {}),
        ("resnet50", {"output_stride": 8}),
        ("tf_efficientnet_lite0", {}),
        ("mobilenetv3_small_100", {}),
        ("mobilenetv4_conv_small", {}),
        ("test_convnext", {}),
        ("regnetx_002", {}),
        ("hrnet_w18_small_v2", {}),
        ("swin_tiny_patch4_window7_224", {}),
    ],
)
def test_pyramid_equals_features_only(tmp_path: Path, model: str, arguments: dict[str, int]) -> None:
    full = timm.create_model(model)
    weights = full.state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    backbone = Timm(model=model, weights=str(tmp_path / "weights.pth"), **arguments).eval()
    family = {"feature_location": ""} if "hrnet" in model else family_of(full.__module__.rpartition(".")[2]).arguments
    reference = features_only(model, weights, **family, **arguments)
    image = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        expected = reference(image)[-4:]
        levels = backbone(image)
    for level, features in zip(levels, expected, strict=True):
        features = features.permute(0, 3, 1, 2) if backbone.channel_axis == -1 else features
        assert torch.equal(level, features)


def test_vision_transformer_equals_forward_intermediates(tmp_path: Path) -> None:
    full = timm.create_model("test_vit", **family_of("vision_transformer").arguments).eval()
    torch.save(full.state_dict(), tmp_path / "weights.pth")
    backbone = Timm(model="test_vit", weights=str(tmp_path / "weights.pth")).eval()
    image = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        expected = full.forward_intermediates(image, indices=[5], norm=True, intermediates_only=True)[0]
        level = backbone(image)[2]
    assert torch.equal(level, expected)
