"""Hard sharing and single-task networks."""

from __future__ import annotations

from copy import deepcopy

import torch

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.recipe import Stage
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.encoders.single_task import SingleTask


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_hard_sharing_is_the_backbone_handed_to_every_task() -> None:
    backbone = Timm(model="test_resnet").eval()
    encoder = HardSharing(backbone, ("a", "b", "c")).eval()
    image = torch.randn(1, 3, 64, 64)
    features = encoder(image).by_task
    for levels in zip(backbone(image), *features.values(), strict=True):
        assert torch.equal(levels[0], levels[1])
        assert levels[1] is levels[2]
        assert levels[2] is levels[3]
    deployed = encoder.deploy()
    assert count(deployed) == count(backbone)
    pyramids = deployed(image)
    assert pyramids["a"][0] is pyramids["c"][0]
    assert encoder.recipe() == (Stage(),)
    assert all(name.startswith("network.stages.") for name in encoder.state_dict())


def test_single_task_networks_are_copies_that_share_nothing() -> None:
    backbone = Timm(model="test_resnet").eval()
    encoder = SingleTask(backbone, ("a", "b")).eval()
    assert count(encoder) == 2 * count(backbone)
    assert count(encoder.deploy()) == 2 * count(backbone)
    assert {name.split(".")[1] for name in encoder.state_dict()} == {"a", "b"}
    features = encoder(torch.randn(1, 3, 64, 64)).by_task
    torch.stack([level.sum() for level in features["a"]]).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.networks["a"].parameters())
    assert all(parameter.grad is None for parameter in encoder.networks["b"].parameters())


def test_encoders_copy_the_backbone() -> None:
    backbone = Timm(model="test_resnet")
    before = deepcopy(backbone.state_dict())
    for encoder in (HardSharing(backbone, ("a",)), SingleTask(backbone, ("a",))):
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
