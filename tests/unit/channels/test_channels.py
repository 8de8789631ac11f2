"""Backbones as graphs of operations on channels, and operations for some channels only."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch
from timm.layers.attention import Attention as TimmAttention
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models.vision_transformer import LayerScale
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.cifar_resnet import CifarResNet
from frugalmtl.backbones.timm import Timm
from frugalmtl.channels import Graph, graph_of, units
from frugalmtl.channels.operations import (
    Attention,
    Dense,
    Each,
    Grouped,
    Operation,
    Part,
    PatchEmbedding,
    Permute,
    Sum,
    Whole,
)
from frugalmtl.core.checks import UserError
from tests.unit.encoders.interrogate.helpers import KINDS, backbone, image, scramble

# --- the graph


@pytest.mark.parametrize("kind", [*KINDS, "mobilenetv2_100"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_graph_computes_what_the_backbone_computes(kind: str, training: bool) -> None:
    network = deepcopy(backbone(kind))
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
        found = graph.run(twin, image())
    assert len(expected) == len(found) == len(network.channels)
    for level, other, channels in zip(expected, found, network.channels, strict=True):
        assert level.shape[1] == channels
        assert torch.equal(level, other)
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
        if not isinstance(node.operation, Dense | Grouped | Whole | Attention):
            continue
        waiting = list(node.inputs)
        while waiting:
            source = graph.nodes[waiting.pop()]
            if source.site is not None or isinstance(source.operation, Whole | Attention) or not source.inputs:
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
        ("bn1", "Each", None),
        ("act1", "Each", None),
        ("maxpool", "Each", 0),
    ]
    assert described(graph, "stages.0.1.") == [
        ("conv1", "Dense", None),
        ("bn1", "Each", None),
        ("act1", "Each", 1),
        ("conv2", "Dense", None),
        ("bn2", "Each", None),
        ("add", "Sum", None),
        ("act2", "Each", 2),
    ]
    assert described(graph, "stages.1.0.") == [
        ("conv1", "Dense", None),
        ("bn1", "Each", None),
        ("act1", "Each", 5),
        ("conv2", "Dense", None),
        ("bn2", "Each", None),
        ("downsample.0", "Dense", None),
        ("downsample.1", "Each", None),
        ("add_2", "Sum", None),
        ("act2", "Each", 6),
    ]
    assert len(graph.sites) == 17, "the stem, and two in each of eight blocks"


def test_sites_of_an_inverted_bottleneck() -> None:
    """The depthwise convolution follows the gate behind it: one site for both, one for the block."""
    graph = graph_of(Timm(model="mobilenetv2_100"))
    assert described(graph, "stages.0.3.") == [
        ("conv_pw", "Dense", None),
        ("bn1", "Each", None),
        ("conv_dw", "Each", None),
        ("bn2", "Each", 4),
        ("conv_pwl", "Dense", None),
        ("bn3", "Each", None),
        ("add", "Sum", 5),
    ]


def test_sites_of_squeeze_and_excitation_lie_before_it() -> None:
    graph = graph_of(backbone("test_efficientnet"))
    inside = {node.name: node for node in graph.nodes if node.name.startswith("stages.2.0.")}
    assert isinstance(inside["stages.2.0.se"].operation, Whole)
    assert inside["stages.2.0.se"].site is None
    assert inside["stages.2.0.bn2"].site is not None
    assert inside["stages.2.0.conv_pw"].site is inside["stages.2.0.bn1"].site is None


def test_sites_of_a_transformer_block() -> None:
    graph = graph_of(backbone("test_vit"))
    block = [(type(node.operation).__name__, node.site) for node in graph.nodes if node.layer.startswith("stages.0.1.")]
    assert [kind for kind, _ in block][:5] == ["Dense", "Part", "Part", "Part", "Attention"]
    sites = [kind for kind, site in block if site is not None]
    assert sites == ["Part", "Part", "Part", "Sum", "Each", "Sum"], "q, k, v; attention; both layers of the MLP"
    attention = next(node for node in graph.nodes if isinstance(node.operation, Attention))
    assert [graph.nodes[source].operation.start for source in attention.inputs] == [0, 64, 128]
    assert all(graph.nodes[source].axis == -1 for source in attention.inputs)


def test_units_of_groups_reach_the_site_behind_them() -> None:
    graph = graph_of(backbone("regnetx_002"))
    found = units(graph.nodes)
    grouped = [index for index, node in enumerate(graph.nodes) if isinstance(node.operation, Grouped)]
    assert grouped
    for index in grouped:
        unit = graph.nodes[index].operation.unit
        assert unit == backbone("regnetx_002").get_submodule(graph.nodes[index].operation.target).weight.shape[1]
        behind = next(at for at in range(index, len(graph.nodes)) if graph.nodes[at].site is not None)
        assert found[behind] == unit > 1
    dense = [index for index, node in enumerate(graph.nodes) if isinstance(node.operation, Dense)]
    assert {found[index] for index in dense} == {1}


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
        ("Each", None),
        ("Sum", 2),
    ]


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (Shuffled(), "flip"),
        (Branching(), "traced"),
        (nn.PReLU(4), "known"),
        (nn.ConvTranspose2d(4, 4, 1, groups=2), "groups"),
    ],
    ids=["flip", "branching", "prelu", "transposed groups"],
)
def test_unknown_operations_are_refused_in_one_line(block: nn.Module, word: str) -> None:
    with pytest.raises(UserError, match=f"{word}.*choose another") as caught:
        graph_of(Strange(block))
    assert "\n" not in str(caught.value)


def test_backbones_that_cannot_be_traced_are_refused_in_one_line() -> None:
    swin, convnext = Timm(model="swin_tiny_patch4_window7_224"), Timm(model="test_convnext")
    words = {swin: "choose another", convnext: "choose another", CifarResNet(depth=8): "give the backbone shortcut: B"}
    for refused, word in words.items():
        with pytest.raises(UserError, match=word) as caught:
            graph_of(refused)
        assert "\n" not in str(caught.value)


# --- some channels of an operation


def drawn(generator: np.random.Generator, count: int) -> tuple[int, ...]:
    """Some channels in some order."""
    return tuple(int(index) for index in generator.permutation(count)[: generator.integers(1, count + 1)])


def pick(tensor: Tensor, channels: Sequence[int], axis: int) -> Tensor:
    return tensor.index_select(axis, torch.tensor(channels))


def without(tensor: Tensor, channels: Sequence[int], axis: int) -> Tensor:
    """Zeros but for some channels."""
    mask = torch.zeros(tensor.shape[axis])
    mask[list(channels)] = 1.0
    return tensor * mask.view([-1 if dim == axis % tensor.ndim else 1 for dim in range(tensor.ndim)])


def ready(module: nn.Module) -> nn.Module:
    scramble(module, 3)
    return module.double().eval()


EACH = [
    (nn.BatchNorm2d(6), 1),
    (nn.BatchNorm2d(6, affine=False), 1),
    (BatchNormAct2d(6), 1),
    (nn.Conv2d(6, 6, 3, groups=6, padding=1), 1),
    (nn.Conv2d(6, 6, 3, groups=6, bias=False), 1),
    (LayerScale(6), -1),
    (nn.ReLU(), 1),
    (nn.MaxPool2d(2), 1),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("module", "axis"), EACH, ids=lambda value: type(value).__name__)
def test_take_of_operations_on_each_channel(module: nn.Module, axis: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    module = ready(deepcopy(module))
    given = torch.randn(2, 6, 8, 8).double() if axis == 1 else torch.randn(2, 8, 8, 6).double()
    channels = drawn(generator, 6)
    before = deepcopy(module.state_dict())
    taken = Each("x").take(module, channels, channels).eval()
    with torch.no_grad():
        assert torch.allclose(taken(pick(given, channels, axis)), pick(module(given), channels, axis), atol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items()), "the source is kept"
    for name, parameter in taken.named_parameters():
        assert parameter.shape[0] == len(channels), name
        assert isinstance(parameter, nn.Parameter)
    with pytest.raises(ValueError, match="alone"):
        Each("x").take(module, (0, 1), (1, 0))


DENSE = [
    (nn.Conv2d(5, 7, 3, padding=1), 1),
    (nn.Conv2d(5, 7, 1, stride=2, bias=False), 1),
    (nn.ConvTranspose2d(5, 7, 2, stride=2), 1),
    (nn.Linear(5, 7), -1),
    (nn.Linear(5, 7, bias=False), -1),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("module", "axis"), DENSE, ids=lambda value: type(value).__name__)
def test_take_of_dense_operations(module: nn.Module, axis: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    module = ready(deepcopy(module))
    given = torch.randn(2, 5, 6, 6).double() if axis == 1 else torch.randn(2, 6, 6, 5).double()
    outputs, inputs = drawn(generator, 7), drawn(generator, 5)
    taken = Dense("x").take(module, outputs, inputs)
    with torch.no_grad():
        expected = pick(module(without(given, inputs, axis)), outputs, axis)
        assert torch.allclose(taken(pick(given, inputs, axis)), expected, atol=1e-12)
    assert taken.weight.numel() == len(outputs) * len(inputs) * module.weight[0, 0].numel()
    sizes = [value for name, value in vars(taken).items() if name in ("in_channels", "in_features")]
    assert sizes == [len(inputs)], "what is printed is what is there"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_take_of_grouped_convolutions(seed: int, bias: bool) -> None:
    generator = np.random.default_rng(seed)
    module = ready(nn.Conv2d(12, 8, 3, padding=1, groups=4, bias=bias))
    operation = Grouped("x", 4, 2)
    groups = drawn(generator, 4)
    outputs = tuple(group * 2 + offset for group in groups for offset in range(2))
    inputs = operation.inputs_of(outputs, 12)
    assert inputs == tuple(group * 3 + offset for group in groups for offset in range(3))
    given = torch.randn(2, 12, 6, 6).double()
    taken = operation.take(module, outputs, inputs)
    with torch.no_grad():
        assert torch.allclose(taken(pick(given, inputs, 1)), pick(module(given), outputs, 1), atol=1e-12)


WHOLE = [
    (nn.LayerNorm(8), -1),
    (nn.LayerNorm(8, elementwise_affine=False), -1),
    (SqueezeExcite(8, rd_ratio=0.5), 1),
    (SEModule(8, rd_ratio=0.5), 1),
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("module", "axis"), WHOLE, ids=lambda value: type(value).__name__)
def test_take_of_operations_over_all_channels(module: nn.Module, axis: int, seed: int) -> None:
    module = ready(deepcopy(module))
    order = tuple(int(index) for index in np.random.default_rng(seed).permutation(8))
    given = torch.randn(2, 8, 5, 5).double() if axis == 1 else torch.randn(2, 5, 5, 8).double()
    taken = Whole("x").take(module, order, order)
    with torch.no_grad():
        assert torch.allclose(taken(pick(given, order, axis)), pick(module(given), order, axis), atol=1e-12)
    for outputs, inputs in (((1, 2), (1, 2)), (order, order[::-1])):
        with pytest.raises(ValueError, match="all of them"):
            Whole("x").take(module, outputs, inputs)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_take_of_attention(qk_norm: bool) -> None:
    module = ready(TimmAttention(12, num_heads=3, qk_norm=qk_norm, norm_layer=nn.LayerNorm))
    operation = Attention("x", 3, 4)
    parts = [torch.randn(2, 3, 5, 12).double() for _ in range(3)]
    heads = (2, 0)
    channels = tuple(head * 4 + offset for head in heads for offset in range(4))
    taken = operation.take(module, channels, channels)
    with torch.no_grad():
        whole = operation.run(module, *parts)
        assert torch.allclose(taken(*(pick(part, channels, -1) for part in parts)), pick(whole, channels, -1))
        tokens = torch.randn(2, 15, 12).double()
        split = module.qkv(tokens).reshape(2, 3, 5, 36).split(12, -1)
        again = module.proj(module.norm(operation.run(module, *split))).reshape(2, 15, 12)
        assert torch.allclose(again, module(tokens)), "timm's own attention"


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_take_of_the_embedding_of_patches(size: tuple[int, int]) -> None:
    network = deepcopy(backbone("test_vit")).eval()
    module = network.stages[0][0]
    with torch.no_grad():
        module.pos_embed.normal_()
    channels = (7, 3, 60, 0)
    taken = PatchEmbedding("x").take(module, channels, (0, 1, 2)).eval()
    with torch.no_grad():
        assert torch.allclose(taken(image(1, size)), pick(module(image(1, size)), channels, -1), atol=1e-5)


# --- which inputs an output channel reads

READS: list[tuple[Operation, nn.Module | None, int, int, int]] = [
    (Dense("x"), nn.Conv2d(4, 6, 1), 4, 6, 1),
    (Each("x"), nn.Conv2d(6, 6, 3, groups=6, padding=1), 6, 6, 1),
    (Grouped("x", 2, 3), nn.Conv2d(4, 6, 1, groups=2), 4, 6, 1),
    (Whole("x"), nn.LayerNorm(6), 6, 6, -1),
    (Part(2, 3), None, 8, 3, -1),
    (Permute((0, 2, 3, 1)), None, 4, 4, 1),
]


@pytest.mark.parametrize("case", READS, ids=lambda case: type(case[0]).__name__)
def test_demand_is_what_an_output_depends_on(case: tuple[Operation, nn.Module | None, int, int, int]) -> None:
    operation, module, inputs, outputs, axis = case
    module = None if module is None else ready(deepcopy(module))
    shape = (1, inputs, 3, 3) if axis == 1 else (1, 3, 3, inputs)
    given = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    result = operation.run(module, given)
    result_axis = -1 if isinstance(operation, Permute) else axis
    for channel in range(outputs):
        needed = np.zeros((1, outputs), dtype=bool)
        needed[0, channel] = True
        (gradient,) = torch.autograd.grad(result.select(result_axis, channel).square().sum(), given, retain_graph=True)
        read = gradient.abs().sum([dim for dim in range(4) if dim != axis % 4]) > 0
        assert operation.demand(needed, [inputs])[0][0].tolist() == read.tolist()
    nothing = operation.demand(np.zeros((1, outputs), dtype=bool), [inputs])[0]
    assert not nothing.any()


def test_demand_of_sums_and_attention() -> None:
    needed = np.array([[True, False, False, False], [False, False, False, True]])
    assert all((mask == needed).all() for mask in Sum().demand(needed, [4, 4]))
    heads = Attention("x", 2, 2).demand(needed, [4, 4, 4])
    assert len(heads) == 3
    assert all(mask.tolist() == [[True, True, False, False], [False, False, True, True]] for mask in heads)
