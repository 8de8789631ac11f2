"""Random masks on every family of backbones: the built network computes what the masked full networks compute.

It does so with exactly the multiply-adds and parameters that the plan predicts, and that an account channel by channel,
independent of the planner, finds necessary.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from timm import create_model
from torch import nn

from frugalmtl.backbones.families import FAMILIES
from frugalmtl.backbones.timm import Timm
from frugalmtl.channels import Mask, node_macs, projection_macs, static_network
from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.encoders.base import SeparateNetworks, SharedPyramid
from frugalmtl.evaluation.cost import count
from tests.support.channels import (
    CIFAR,
    KINDS,
    MIXED,
    SIZE,
    SWIN,
    SWIN_MERGED,
    TRANSFORMERS,
    VIT,
    VIT_STAGES,
    Branches,
    branches,
    draw_masks,
    image,
    masked_networks,
    uniform_masks,
    worst,
)
from tests.support.needs import Needs

HEAVY = ("high_resolution_net", "regnet")
Levels = Sequence[Sequence[int]] | None


def build(parts: Branches, private: Sequence[Mask], levels: Levels = None) -> nn.Module:
    plan = parts.plan(private, levels)
    read = levels or parts.every_level()
    return static_network(plan, parts.networks, parts.mixes, parts.names, read, parts.projections).eval()


def macs_of(parts: Branches, private: Sequence[Mask], levels: Levels = None, size: tuple[int, int] = SIZE) -> float:
    per_node = node_macs(parts.graph, parts.networks[0], size)
    projections = {site: projection_macs(parts.graph, per_node, site) for site in parts.projections}
    return parts.plan(private, levels).macs(per_node, projections)


def check(parts: Branches, private: Sequence[Mask], levels: Levels = None, size: tuple[int, int] = SIZE) -> None:
    network, read = build(parts, private, levels), levels or parts.every_level()
    with torch.no_grad():
        expected, computed = masked_networks(parts, private, image(size=size)), network(image(size=size))
    assert list(computed) == [name for name, chosen in zip(parts.names, read, strict=True) if chosen]
    expected = {name: expected[name] for name in computed}
    assert worst(expected, computed, dict(zip(parts.names, read, strict=True))) <= 1e-4
    counted, plan = count(network, size), parts.plan(private, levels)
    assert counted.counted_on == "meta"
    assert macs_of(parts, private, levels, size) == pytest.approx(counted.macs, rel=1e-9)
    assert plan.parameters(parts.networks[0]) == counted.params
    assert Needs(parts.graph, private, read, parts.projections).parameters(parts.networks) == counted.params


def test_all_families_are_covered() -> None:
    assert {*FAMILIES.names(), MIXED} <= set(KINDS)


CASES = [
    pytest.param(kind, number, id=f"{kind}-{number}", marks=[pytest.mark.slow] if number != 2 else [])
    for kind in KINDS
    for number in ((2, 3) if kind in HEAVY else (1, 2, 3))
]


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_random_masks(kind: str, number: int) -> None:
    parts = branches(kind, number, seed=number)
    check(parts, draw_masks(parts.graph, number, seed=10 * number + len(kind)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("number", [1, 2, 4])
def test_random_masks_of_a_small_network(number: int, seed: int) -> None:
    parts = branches(CIFAR, number, seed=seed)
    check(parts, draw_masks(parts.graph, number, seed))


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRANSFORMERS)
@pytest.mark.parametrize("whole_heads", [False, True], ids=["channels", "heads"])
@pytest.mark.parametrize("projected", [False, True], ids=["plain", "projected"])
@pytest.mark.parametrize("number", [2, 3])
def test_random_masks_of_transformers(kind: str, whole_heads: bool, projected: bool, number: int) -> None:
    parts = branches(kind, number, projected=projected)
    assert bool(parts.projections) == projected
    check(parts, draw_masks(parts.graph, number, seed=number, whole_heads=whole_heads))


@pytest.mark.parametrize("size", [(224, 224), (32, 32), (96, 448)])
@pytest.mark.parametrize(("kind", "whole_heads"), [(SWIN, True), (SWIN_MERGED, False)])
def test_windows_of_any_image_size(kind: str, whole_heads: bool, size: tuple[int, int]) -> None:
    """Whole windows at 224, padded and shifted ones elsewhere."""
    parts = branches(kind, 2, seed=size[1])
    check(parts, draw_masks(parts.graph, 2, seed=size[0], whole_heads=whole_heads), size=size)


def test_heads_of_normalised_queries_differ_between_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each branch has norms of its own: what they do with shared queries and keys is not shared."""
    monkeypatch.setattr("frugalmtl.backbones.timm.create_model", partial(create_model, qk_norm=True))
    normed = Timm(model="test_vit").eval()
    monkeypatch.setattr("tests.support.channels.backbone", lambda _: normed)
    parts = branches("normed", 2)
    assert all(n.operation.weighted for n in parts.graph.nodes if isinstance(n.operation, AttentionChannels))
    check(parts, draw_masks(parts.graph, 2, seed=2, whole_heads=True))


@pytest.mark.parametrize("kind", ["resnet", VIT_STAGES, SWIN])
@pytest.mark.parametrize("seed", [1, 2])
def test_branches_that_read_some_levels(kind: str, seed: int) -> None:
    parts = branches(kind, 3, seed=seed)
    check(parts, draw_masks(parts.graph, 3, seed, whole_heads=seed == 2), [(3,), (0, 2), (1,)])


def test_what_nobody_reads_is_gone() -> None:
    parts = branches("resnet", 2)
    private = uniform_masks(parts.graph, 2, private=True)
    full = macs_of(parts, private)
    assert macs_of(parts, private, [(0,), (0,)]) < 0.8 * full
    check(parts, private, [(0,), (0,)])
    assert macs_of(parts, private, [(0, 1, 2, 3), ()]) == pytest.approx(full / 2), "the second network is dead"
    check(parts, private, [(0, 1, 2, 3), ()])


def test_a_branch_without_levels_remains_where_the_mix_holds_its_features() -> None:
    parts = branches(CIFAR, 2)
    private = uniform_masks(parts.graph, 2, private=True)
    private[-1][0, -1] = False  # one channel of the last level is shared
    check(parts, private, [(2,), ()])
    names = [name for name, _ in build(parts, private, [(2,), ()]).named_children()]
    assert any(name.endswith("_1") for name in names)


ENDS = [pytest.param(kind, marks=[pytest.mark.slow] if kind in HEAVY else []) for kind in KINDS]


@pytest.mark.parametrize("kind", ENDS)
def test_all_private_is_separate_networks(kind: str) -> None:
    parts = branches(kind, 2)
    network = build(parts, uniform_masks(parts.graph, 2, private=True))
    modules = zip(parts.names, parts.networks[:2], strict=True)
    separate = SeparateNetworks(nn.ModuleDict({name: deepcopy(module) for name, module in modules}))
    with torch.no_grad():
        assert worst(separate(image()), network(image())) <= 1e-5
    counted, expected = count(network, SIZE), count(separate, SIZE)
    assert (counted.params, counted.macs) == (expected.params, expected.macs)


@pytest.mark.parametrize("kind", ENDS)
def test_all_shared_is_one_network(kind: str) -> None:
    parts = branches(kind, 2)
    network = build(parts, uniform_masks(parts.graph, 2, private=False))
    one = SharedPyramid(deepcopy(parts.networks[-1]), parts.names)
    with torch.no_grad():
        assert worst(one(image()), network(image())) <= 1e-5
    counted, expected = count(network, SIZE), count(one, SIZE)
    assert (counted.params, counted.macs) == (expected.params, expected.macs)


def test_layers_hold_exactly_the_computed_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spelled out: two branches, the first convolution of a basic block."""
    monkeypatch.setattr("frugalmtl.channels.static.LANES", 1)  # convolutions of one tensor stay apart
    parts = branches(CIFAR, 2)
    private = uniform_masks(parts.graph, 2, private=False)
    site = next(node.site for node in parts.graph.nodes if node.layer == "stages.0.1.conv1" and node.site is not None)
    private[site][0, :3] = True
    private[site][1, 2] = True  # nobody reads the shared channel 2
    modules = dict(build(parts, private).named_modules())
    shapes = {name: modules[f"stages_0_1_conv1_{name}"].weight.shape for name in ("0", "1", "shared")}
    width = private[site].shape[1]
    assert shapes == {"0": (3, width, 3, 3), "1": (1, width, 3, 3), "shared": (width - 1, width, 3, 3)}
    check(parts, private)


def test_shared_heads_are_computed_once() -> None:
    """Both branches run the first block's projection on heads of the shared branch: those are one."""
    parts = branches(VIT, 2)
    graph = parts.graph
    attention = next(index for index, node in enumerate(graph.nodes) if isinstance(node.operation, AttentionChannels))
    operation, queries = graph.nodes[attention].operation, graph.nodes[graph.nodes[attention].inputs[0]]
    behind = next(node.site for node in graph.nodes[attention:] if node.site is not None)
    private = uniform_masks(graph, 2, private=False)
    private[behind][:] = True
    once = macs_of(parts, private)
    check(parts, private)
    for source in graph.nodes[attention].inputs:  # one head of the first branch is private
        private[graph.site_of(source)][0, : operation.unit] = True
    check(parts, private)
    per_node = node_macs(graph, parts.networks[0], SIZE)
    more = (per_node[attention] + per_node[queries.inputs[0]]) / operation.heads
    assert macs_of(parts, private) - once == pytest.approx(more)


def test_masks_are_left_as_they_are() -> None:
    parts = branches(CIFAR, 2)
    private = draw_masks(parts.graph, 2, 0)
    before = [mask.copy() for mask in private]
    build(parts, private)
    assert all(np.array_equal(mask, other) for mask, other in zip(private, before, strict=True))
