"""Branches of small backbones, random masks, and what masked full networks compute."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from timm.models.mobilenetv3 import MobileNetV3
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.cifar_resnet import CifarResNet
from frugalmtl.backbones.families import FAMILIES
from frugalmtl.backbones.timm import Timm
from frugalmtl.channels import ChannelPlan, Graph, Mask, branch_of, graph_of, plan_channels, units
from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.channels.operations import Sum
from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Pyramid
from tests.support.backbones import tiny_backbone

CIFAR, VIT, VIT_STAGES = "cifar_resnet", "vision_transformer", "vision_transformer-stages"
SWIN, SWIN_MERGED = "swin_transformer", "swin_transformer-merged"
TRANSFORMERS = (VIT, VIT_STAGES, SWIN, SWIN_MERGED)
MIXED = "mixed"
"""Blurs, convolutions of several kernel sizes side by side, attention of several queries and scales per channel."""
SIZE = (64, 96)


@cache
def backbone(kind: str) -> Backbone:
    """The tiny backbone of a family, or one of two more; copy it before changing it."""
    seed_everything(0)
    if kind == CIFAR:
        return CifarResNet(depth=8, width=0.5, shortcut="B").eval()
    if kind == VIT_STAGES:
        return tiny_backbone(VIT, pyramid="stages").eval()
    if kind == SWIN_MERGED:
        return tiny_backbone(SWIN, pyramid="merged").eval()
    if kind == MIXED:
        return mixed_backbone().eval()
    return tiny_backbone(kind).eval()


def mixed_backbone() -> Backbone:
    """A network of the parts of MixNets, MobileNetV4 hybrids and networks with blurs."""
    arch = [
        ["ds_r1_k3_s1_e1_c8"],
        ["ir_r1_k3_a1.1_p1.1_s2_e3_c12", "ir_r1_k3_a1.1_p1.1_s1_e2_c12"],
        ["ir_r1_k3.5.7_s2_e3_c16_se0.5"],
        ["uir_r1_a3_k3_s2_e2_c16", "mqa_r1_k3_h2_s1_v2_d4_c16", "mqa_r1_k3_h2_s1_d8_c16", "uir_r1_a0_k3_s1_e2_c16"],
        ["ir_r1_k3_s2_e2_c20"],
    ]
    network = MobileNetV3(
        decode_arch_def(arch), stem_size=8, num_features=8, aa_layer="blur", layer_scale_init_value=0.5,
        round_chs_fn=partial(round_channels, divisor=4),
    )  # fmt: skip
    network.pretrained_cfg = timm.get_pretrained_cfg("mobilenetv4_hybrid_medium").to_dict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("frugalmtl.backbones.timm.create_model", lambda *_, **__: network)
        return Timm(model="mobilenetv4_hybrid_medium")


@cache
def traceable(kind: str) -> bool:
    """Whether all operations of a backbone are known."""
    try:
        graph_of(deepcopy(backbone(kind)))
    except UserError:
        return False
    return True


KINDS = tuple(kind for kind in (*FAMILIES.names(), VIT_STAGES, SWIN_MERGED, MIXED, CIFAR) if traceable(kind))
"""Every family of backbones whose operations are known, and more backbones."""


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


def image(batch: int = 2, size: tuple[int, int] = SIZE, seed: int = 5) -> Tensor:
    """Noise."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def worst(expected: dict[str, Pyramid], computed: dict[str, Pyramid], levels: dict[str, Any] | None = None) -> float:
    """Largest difference of any level that is read, relative to the level's largest value if that is above 1."""
    differences = [0.0]
    assert list(expected) == list(computed)
    for task, pyramid in expected.items():
        assert len(pyramid) == len(computed[task])
        for index, (level, other) in enumerate(zip(pyramid, computed[task], strict=True)):
            if levels is None or index in levels[task]:
                assert level.shape == other.shape
                differences.append(((level - other).abs().max() / level.abs().max().clamp(min=1.0)).item())
    return max(differences)


@dataclass
class Branches:
    """Copies of one backbone whose weights differ: the private branches, then the shared one."""

    backbone: Backbone
    graph: Graph
    networks: list[Backbone]
    mixes: list[Tensor]
    projections: dict[int, nn.Module] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the private branches."""
        return [f"branch{index}" for index in range(len(self.networks) - 1)]

    def every_level(self) -> list[tuple[int, ...]]:
        """All levels, for every private branch."""
        return [tuple(range(len(self.graph.outputs)))] * len(self.names)

    def plan(self, private: Sequence[Mask], levels: Sequence[Sequence[int]] | None = None) -> ChannelPlan:
        """The plan of masks."""
        return plan_channels(self.graph, private, levels or self.every_level(), self.projections)


def branches(kind: str, count: int, *, seed: int = 0, projected: bool = False) -> Branches:
    """Branches in eval mode, with random mixes; with projections behind the additions of blocks if asked for."""
    source = deepcopy(backbone(kind))
    graph = graph_of(source)
    networks = [branch_of(source, graph) for _ in range(count + 1)]
    for number, network in enumerate(networks):
        scramble(network, 10 * seed + number)
    generator = torch.Generator().manual_seed(seed)
    widths = [graph.nodes[index].channels for index in graph.sites]
    mixes = [torch.randn(count, width, generator=generator).softmax(0) for width in widths]
    users = graph.users()
    projections: dict[int, nn.Module] = {}
    for site, index in enumerate(graph.sites):
        if projected and isinstance(graph.nodes[index].operation, Sum) and users[index] and graph.nodes[index].axis < 0:
            torch.manual_seed(site)
            projections[site] = nn.Linear(widths[site], widths[site])
    return Branches(source, graph, [network.eval() for network in networks], mixes, projections)


def draw_masks(graph: Graph, count: int, seed: int, *, whole_heads: bool = False) -> list[Mask]:
    """Every private branch keeps all, no, few, half or most channels of a site; some sites are all private or shared.

    Channels that exist together (groups, and heads if they are whole) are kept together.
    """
    generator = np.random.default_rng(seed)
    sizes, leaders = units(graph.nodes), {index: index for index in graph.sites}
    for node in graph.nodes if whole_heads else ():
        if isinstance(node.operation, AttentionChannels):
            for source in node.inputs:
                sizes[source], leaders[source] = node.operation.unit, node.inputs[0]
    masks: dict[int, Mask] = {}
    for index in graph.sites:
        if leaders[index] in masks:
            masks[index] = masks[leaders[index]]
            continue
        gates = graph.nodes[index].channels // sizes[index]
        densities = generator.choice([0.0, 0.0, 0.1, 0.5, 0.9, 1.0], size=(count, 1))
        kept = generator.random((count, gates)) < densities
        if generator.random() < 0.2:
            kept[:] = generator.random() < 0.5
        masks[index] = np.repeat(kept, sizes[index], axis=1)
    return [masks[index] for index in graph.sites]


def uniform_masks(graph: Graph, count: int, *, private: bool) -> list[Mask]:
    """All channels private, or all shared."""
    return [np.full((count, graph.nodes[index].channels), private) for index in graph.sites]


def masked_networks(parts: Branches, private: Sequence[Mask], batch: Tensor) -> dict[str, Pyramid]:
    """What the full branches compute in step: every site picks by its mask, the shared branch goes on with the mix."""
    graph, modules = parts.graph, [parts.graph.modules(network) for network in parts.networks]
    values = [[batch] * len(parts.networks)]
    for index, node in enumerate(graph.nodes[1:], start=1):
        outputs = [
            node.operation.run(branch[index], *(values[source][number] for source in node.inputs))
            for number, branch in enumerate(modules)
        ]
        if node.site is not None:
            dims = outputs[0].ndim
            shape = [-1 if dim == node.axis % dims else 1 for dim in range(dims)]
            kept = [torch.from_numpy(row).view(shape) for row in private[node.site]]
            picked = [torch.where(mask, value, outputs[-1]) for mask, value in zip(kept, outputs[:-1], strict=True)]
            shares = [share.to(batch.dtype).view(shape) for share in parts.mixes[node.site]]
            mixed = torch.stack([share * value for share, value in zip(shares, picked, strict=True)]).sum(0)
            outputs = [*picked, parts.projections[node.site](mixed) if node.site in parts.projections else mixed]
        values.append(outputs)
    return {name: [values[index][number] for index in graph.outputs] for number, name in enumerate(parts.names)}
