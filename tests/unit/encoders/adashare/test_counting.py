"""Multiply-adds of networks whose policy is not decided on."""

from __future__ import annotations

import torch

from frugalmtl.backbones import BACKBONES
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.depth import depth
from frugalmtl.tasks.normals import normals


def model_of(encoder: str) -> MultiTaskModel:
    tasks = (depth(), normals())
    backbone = BACKBONES.build({"name": "timm", "model": "resnet18"})
    sharing = ENCODERS.build(encoder, backbone, [task.name for task in tasks])
    return MultiTaskModel(sharing, DECODERS.build("independent", sharing.channels, sharing.strides, tasks), tasks)


def macs(model: MultiTaskModel) -> float:
    return count(model, (64, 64)).macs


def test_network_without_values_is_counted_with_all_blocks() -> None:
    with torch.device("meta"):
        model, hard = model_of("adashare"), model_of("hard_sharing")
    assert macs(model) == macs(hard)


def test_network_with_values_is_counted_with_its_most_likely_policy() -> None:
    model = model_of("adashare")
    whole = macs(model)
    assert whole == macs(model_of("hard_sharing"))
    with torch.no_grad():
        for logits in model.encoder.policy.logits.values():
            logits[-1, 1] += 5.0  # the last block is skipped
    assert macs(model) == whole - float(model.encoder.branch_macs[-1])
