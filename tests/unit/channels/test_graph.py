"""Backbones as graphs of operations on channels."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from timm.layers.std_conv import StdConv2d
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.cifar_resnet import CifarResNet
from frugalmtl.backbones.timm import Timm
from frugalmtl.channels import Graph, graph_of, units
from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.channels.operations import (
    AllChannels,
    Dense,
    Grouped,
)
from frugalmtl.core.checks import UserError
from tests.support.channels import KINDS, backbone, image, scramble

MOBILENETV2 = "mobilenetv2_100"


@pytest.mark.parametrize("kind", [*KINDS, MOBILENETV2])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_graph_computes_what_the_backbone_computes(kind: str, training: bool) -> None:
    network = Timm(model=kind) if kind == MOBILENETV2 else deepcopy(backbone(kind))
    scramble(network, 0)
    network.train(training)
    graph = graph_of(network)
    assert network.training is training, "tracing leaves the mode as it was"
    twin = deepcopy(network)
    torch.manual_seed(1)
    with torch.no_grad():
        expected = network(image())
    torch.manual_seed(1)
    with torch.no_grad():
        computed = graph.run(twin, image())
    assert len(expected) == len(computed) == len(network.channels)
    for level, other, channels in zip(expected, computed, network.channels, strict=True):
        assert level.shape[1] == channels
        tolerance = 1e-5 if "swin" in kind else 0  # timm multiplies matrices in another order
        torch.testing.assert_close(level, other, rtol=tolerance, atol=tolerance)
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(name)), name


@pytest.mark.parametrize("kind", KINDS)
def test_graph_is_consistent(kind: str) -> None:
    graph, network = graph_of(backbone(kind)), backbone(kind)
    shapes: dict[int, tuple[int, ...]] = {0: (2, 3, 64, 96)}
    with torch.no_grad():
        graph.run(network, image(), lambda index, output: shapes.update({index: tuple(output.shape)}))
    for index, node in enumerate(graph.nodes):
        assert shapes[index][node.axis] == node.channels, node.name
        assert all(source < index for source in node.inputs)
        assert (node.site is not None) == (index in graph.sites)
    assert [graph.nodes[index].site for index in graph.sites] == list(range(len(graph.sites)))
    assert set(graph.outputs) <= set(graph.sites), "every level is a site"
    weighty = [node.name for node in graph.nodes if isinstance(node.operation, Dense | Grouped)]
    assert len(set(weighty)) == len(weighty), "a layer is run once"
    users = graph.users()
    for index, readers in enumerate(users):
        for reader in readers:
            assert index in graph.nodes[reader].inputs


@pytest.mark.parametrize("kind", KINDS)
def test_channels_are_read_across_behind_a_site_only(kind: str) -> None:
    """Between a layer and the next one lies a site, or an operation that needs all channels anyway."""
    graph = graph_of(backbone(kind))
    for node in graph.nodes:
        if not isinstance(node.operation, Dense | Grouped | AllChannels | AttentionChannels):
            continue
        waiting = list(node.inputs)
        while waiting:
            source = graph.nodes[waiting.pop()]
            if (
                source.site is not None
                or isinstance(source.operation, AllChannels | AttentionChannels)
                or not source.inputs
            ):
                continue
            assert not isinstance(source.operation, Dense | Grouped), f"{source.name} meets {node.name} without a site"
            waiting += source.inputs


def described(graph: Graph, prefix: str) -> list[tuple[str, str, int | None]]:
    return [
        (node.name.removeprefix(prefix), type(node.operation).__name__, node.site)
        for node in graph.nodes
        if node.layer.startswith(prefix)
    ]


def test_sites_of_a_basic_block() -> None:
    graph = graph_of(Timm(model="resnet18"))
    assert described(graph, "stages.0.0.") == [
        ("conv1", "Dense", None),
        ("bn1", "ChannelWise", None),
        ("act1", "ChannelWise", None),
        ("maxpool", "ChannelWise", 0),
    ]
    assert described(graph, "stages.0.1.") == [
        ("conv1", "Dense", None),
        ("bn1", "ChannelWise", None),
        ("act1", "ChannelWise", 1),
        ("conv2", "Dense", None),
        ("bn2", "ChannelWise", None),
        ("add", "Sum", None),
        ("act2", "ChannelWise", 2),
    ]
    assert described(graph, "stages.1.0.") == [
        ("conv1", "Dense", None),
        ("bn1", "ChannelWise", None),
        ("act1", "ChannelWise", 5),
        ("conv2", "Dense", None),
        ("bn2", "ChannelWise", None),
        ("downsample.0", "Dense", None),
        ("downsample.1", "ChannelWise", None),
        ("add_2", "Sum", None),
        ("act2", "ChannelWise", 6),
    ]
    assert len(graph.sites) == 17, "the stem, and two in each of eight blocks"


def test_sites_of_an_inverted_bottleneck() -> None:
    """The depthwise convolution follows the gate behind it: one site for both, one for the block."""
    graph = graph_of(Timm(model=MOBILENETV2))
    assert described(graph, "stages.0.3.") == [
        ("conv_pw", "Dense", None),
        ("bn1", "ChannelWise", None),
        ("conv_dw", "ChannelWise", None),
        ("bn2", "ChannelWise", 4),
        ("conv_pwl", "Dense", None),
        ("bn3", "ChannelWise", None),
        ("add", "Sum", 5),
    ]


def test_sites_of_squeeze_and_excitation_lie_before_it() -> None:
    graph = graph_of(backbone("efficientnet"))
    inside = {node.name: node for node in graph.nodes if node.name.startswith("stages.2.0.")}
    assert isinstance(inside["stages.2.0.se"].operation, AllChannels)
    assert inside["stages.2.0.se"].site is None
    assert inside["stages.2.0.bn2"].site is not None
    assert inside["stages.2.0.conv_pw"].site is inside["stages.2.0.bn1"].site is None


def test_sites_of_a_transformer_block() -> None:
    graph = graph_of(backbone("vision_transformer"))
    block = [(type(node.operation).__name__, node.site) for node in graph.nodes if node.layer.startswith("stages.0.1.")]
    assert [kind for kind, _ in block][:5] == [
        "Dense",
        "ChannelSlice",
        "ChannelSlice",
        "ChannelSlice",
        "AttentionChannels",
    ]
    sites = [kind for kind, site in block if site is not None]
    assert sites == ["ChannelSlice", "ChannelSlice", "ChannelSlice", "Sum", "ChannelWise", "Sum"], (
        "q, k, v; attention; both layers of the MLP"
    )
    attention = next(node for node in graph.nodes if isinstance(node.operation, AttentionChannels))
    assert [graph.nodes[source].operation.start for source in attention.inputs] == [0, 64, 128]
    assert all(graph.nodes[source].axis == -1 for source in attention.inputs)


def test_units_of_groups_reach_the_site_behind_them() -> None:
    graph = graph_of(backbone("regnet"))
    sizes = units(graph.nodes)
    grouped = [index for index, node in enumerate(graph.nodes) if isinstance(node.operation, Grouped)]
    assert grouped
    for index in grouped:
        unit = graph.nodes[index].operation.unit
        assert unit == backbone("regnet").get_submodule(graph.nodes[index].operation.target).weight.shape[1]
        behind = next(at for at in range(index, len(graph.nodes)) if graph.nodes[at].site is not None)
        assert sizes[behind] == unit > 1
    dense = [index for index, node in enumerate(graph.nodes) if isinstance(node.operation, Dense)]
    assert {sizes[index] for index in dense} == {1}


class Strange(Backbone):
    """A chain of one block."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 4, 1), block)])
        self.pyramid_stages, self.channel_axis = (0,), 1
        self.mean = self.std = (0.5, 0.5, 0.5)
        self._probe()

    def pyramid(self, states):  # type: ignore[no-untyped-def]
        return [states[0]]


class Twice(nn.Module):
    """A layer that is read twice, both times channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 1), nn.Sigmoid()

    def forward(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        return features + self.act(features)


class Shuffled(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.flip(1)


class Halved(nn.Module):
    """Two halves of the positions, exchanged."""

    def forward(self, features: Tensor) -> Tensor:
        halves = torch.split(features, (32, 32), 3)
        return torch.cat([halves[1], halves[0]], 3)


class Parted(nn.Module):
    """Channels of one group go into different parts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.rest = nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(1, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, features: Tensor) -> Tensor:
        parts = torch.split(self.conv(features), (1, 3), 1)
        return self.first(parts[0]) + self.rest(parts[1])


class Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(4))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.shift.view(1, -1, 1, 1)


class Branching(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features if features.sum() > 0 else -features


def test_a_layer_that_is_read_twice_has_a_site() -> None:
    """Two readers may want different channels of it."""
    graph = graph_of(Strange(Twice()))
    assert [(type(node.operation).__name__, node.site) for node in graph.nodes] == [
        ("Image", None),
        ("Dense", 0),
        ("Dense", 1),
        ("ChannelWise", None),
        ("Sum", 2),
    ]


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (Shuffled(), r"^stages\.0\.1 \(Shuffled\) does .*flip"),
        (Branching(), r"^stages\.0\.1 \(Branching\) cannot be traced"),
        (Halved(), r"^stages\.0\.1 \(Halved\) works on another axis"),
        (Parted(), r"^stages\.0\.1\.conv computes groups of 2"),
        (Shifted(), r"^stages\.0\.1 \(Shifted\) does .*add"),
        (StdConv2d(4, 4, 1), r"^stages\.0\.1 \(StdConv2d\) does"),
        (nn.PReLU(4), "known"),
        (nn.ConvTranspose2d(4, 4, 1, groups=2), "groups"),
    ],
    ids=["flip", "branching", "halved", "parted", "shifted", "standardised", "prelu", "transposed groups"],
)
def test_unknown_operations_are_refused_in_one_line(block: nn.Module, word: str) -> None:
    with pytest.raises(UserError, match=f"{word}.*choose another") as caught:
        graph_of(Strange(block))
    assert "\n" not in str(caught.value)


def test_backbones_that_cannot_be_traced_are_refused_in_one_line() -> None:
    words = {
        Timm(model="test_nfnet"): r"stem\.conv1 \(ScaledStdConv2d\) .*choose another",
        CifarResNet(depth=8): "give the backbone shortcut: B",
    }
    for refused, word in words.items():
        with pytest.raises(UserError, match=word) as caught:
            graph_of(refused)
        assert "\n" not in str(caught.value)
