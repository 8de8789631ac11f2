"""Small gated networks with branches that differ, and gates drawn at random."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.cifar_resnet import CifarResNet
from frugalmtl.backbones.timm import Timm
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Pyramid
from frugalmtl.encoders.interrogate import InterroGate

NAMES = ("near", "far", "edge", "word")
CIFAR = "cifar_resnet"
VIT_STAGES = "test_vit-stages"
KINDS = (
    "test_resnet",
    "test_efficientnet",
    "hrnet_w18_small",
    "test_vit",
    VIT_STAGES,
    "regnetx_002",
    "mobilenetv3_small_050",
    CIFAR,
)
SIZE = (64, 96)


@cache
def backbone(kind: str) -> Backbone:
    """A fresh backbone; copy it before changing it."""
    seed_everything(0)
    if kind == CIFAR:
        return CifarResNet(depth=8, width=0.5, shortcut="B").eval()
    if kind == VIT_STAGES:
        return Timm(model="test_vit", pyramid="stages").eval()
    return Timm(model=kind).eval()


def scramble(module: nn.Module, seed: int) -> None:
    """Weights that differ between branches, statistics of batch normalisation that are no ones and zeros; in place.

    Gates stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.endswith(("gates.alpha", "gates.beta")):
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.05 * (parameter.std(correction=0) + 0.1) * noise)
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.running_mean.copy_(0.1 * torch.randn(part.running_mean.shape, generator=generator))
                part.running_var.copy_(0.7 + 0.6 * torch.rand(part.running_var.shape, generator=generator))


def gated(kind: str, tasks: int = 2, *, seed: int = 0, **settings: Any) -> InterroGate:
    """An encoder in eval mode whose branches differ; all gates as they start."""
    seed_everything(seed)
    encoder = InterroGate(backbone(kind), NAMES[:tasks], **settings)
    scramble(encoder, seed)
    with torch.no_grad():
        encoder.gates.beta.normal_(generator=torch.Generator().manual_seed(seed))
    return encoder.eval()


def set_gates(encoder: InterroGate, open_gates: Tensor) -> None:
    """Gates ``[T, U]`` of booleans."""
    with torch.no_grad():
        encoder.gates.alpha.copy_(torch.where(open_gates, 0.5, -0.5))


def draw_gates(encoder: InterroGate, seed: int) -> None:
    """Every task opens all, none, few, half or most gates of a site."""
    generator = torch.Generator().manual_seed(seed)
    places = encoder.gates.places
    edges = [0]
    for width in places.widths:
        edges.append(edges[-1] + width)
    columns = torch.tensor(places.columns)
    result = torch.zeros(encoder.gates.alpha.shape, dtype=torch.bool)
    densities = torch.tensor([0.0, 0.0, 0.1, 0.5, 0.9, 1.0])
    for start, stop in pairwise(edges):
        mine = columns[start:stop].unique()
        for row in result:
            density = densities[torch.randint(len(densities), (), generator=generator)]
            row[mine] = torch.rand(len(mine), generator=generator) < density
        if torch.rand((), generator=generator) < 0.2:  # a layer that nobody owns, or everybody
            result[:, mine] = bool(torch.rand((), generator=generator) < 0.5)
    set_gates(encoder, result)


def deployed(encoder: InterroGate) -> nn.Module:
    """The deployed form of a copy."""
    return deepcopy(encoder).eval().deploy().eval()


def image(batch: int = 2, size: tuple[int, int] = SIZE, seed: int = 5) -> Tensor:
    """Noise."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def worst(wanted: dict[str, Pyramid], given: dict[str, Pyramid], levels: dict[str, Any] | None = None) -> float:
    """Largest difference of any level that is read, relative to the level's largest value if that is above 1."""
    differences = [0.0]
    assert list(wanted) == list(given)
    for task, pyramid in wanted.items():
        assert len(pyramid) == len(given[task])
        for index, (level, other) in enumerate(zip(pyramid, given[task], strict=True)):
            if levels is None or index in levels[task]:
                assert level.shape == other.shape
                differences.append(((level - other).abs().max() / level.abs().max().clamp(min=1.0)).item())
    return max(differences)
