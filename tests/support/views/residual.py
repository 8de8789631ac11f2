"""Tiny residual backbones of all kinds that views know."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.cifar_resnet import CifarResNet
from frugalmtl.backbones.families import FAMILIES
from frugalmtl.backbones.timm import Timm
from frugalmtl.core.seeding import seed_everything
from tests.support.backbones import tiny_backbone
from tests.support.channels import scramble

EXTRA = ("cifar-A", "cifar-B", "bottleneck", "vit-stages", "dilated", "mobilenetv2", "mobilenetv4")
"""Beside the families' tiny models."""


@cache
def _built(kind: str) -> Backbone:
    seed_everything(0)
    if kind.startswith("cifar"):
        backbone: Backbone = CifarResNet(depth=14, width=0.25, shortcut="A" if kind.endswith("A") else "B")
    elif kind == "bottleneck":
        backbone = Timm(model="resnet26", width=0.0625)
    elif kind == "dilated":
        backbone = Timm(model="resnet18", width=0.125, output_stride=8)
    elif kind.startswith("mobilenetv") and kind not in FAMILIES.names():
        backbone = Timm(model={"mobilenetv2": "mobilenetv2_035", "mobilenetv4": "mobilenetv4_conv_small_035"}[kind])
    elif kind == "vit-stages":
        backbone = tiny_backbone("vision_transformer", pyramid="stages")
    else:
        backbone = tiny_backbone(kind)
    scramble(backbone, 1)
    return backbone.eval()


def residual_backbone(kind: str) -> Backbone:
    """A backbone of this kind, in eval mode, with weights and statistics that are nowhere ones and zeros."""
    return deepcopy(_built(kind))


KINDS = (*(name for name in FAMILIES.names() if name not in ("high_resolution_net", "efficientnet")), *EXTRA)
"""Backbones whose blocks all have known shortcuts, and some of which have one (timm's tiny EfficientNet has none)."""
