"""Layers of traced backbones at the sizes at which they run, and as modules of some of their outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.channels import branch_of, graph_of, node_macs
from frugalmtl.channels.times import SizedLayer, layers_of
from frugalmtl.core.checks import UserError
from tests.support.channels import CIFAR, SWIN, VIT, backbone

SIZE = (64, 96)
KINDS = [CIFAR, "resnet", "efficientnet", "regnet", VIT, SWIN]


def macs(layer: SizedLayer, width: int, batch: int = 1) -> float:
    """Multiply-adds of the layer as a module."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = layer.build(width)(layer.example(width, batch))
    assert output.shape[0] == batch
    assert output.shape[1 if layer.kind != "linear" else -1] == width
    return counter.get_total_flops() / 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_layers_as_modules_cost_what_nodes_do(kind: str) -> None:
    network = backbone(kind)
    graph = graph_of(network)
    branch = branch_of(network, graph)
    per_node = node_macs(graph, branch, SIZE)
    layers = layers_of(graph, branch, SIZE)
    assert layers
    for index, layer in layers.items():
        assert macs(layer, layer.outputs) == per_node[index], graph.nodes[index].name
        assert layer.outputs == graph.nodes[index].channels
        width = layer.unit * max(1, layer.outputs // layer.unit // 2)
        assert macs(layer, width, 2) == pytest.approx(2 * per_node[index] * width / layer.outputs)


def test_a_layer_is_named_in_messages() -> None:
    grouped = SizedLayer("convolution", 16, 32, (8, 8), kernel=(3, 3), padding=(1, 1), groups=4)
    assert str(grouped) == "convolution 3x3 16 -> 32, stride 1, 4 groups at 8 x 8"
    assert grouped.unit == 8
    assert [part.shape for part in grouped.build(16).parameters()] == [(16, 4, 3, 3), (16,)]
    assert str(SizedLayer("linear", 4, 6, (9, 1))) == "linear 4 -> 6 at 9 positions"


def test_numbers_that_are_no_layer() -> None:
    with pytest.raises(UserError, match="is no layer"):
        SizedLayer("convolution", 16, 30, (8, 8), groups=4)
    with pytest.raises(UserError, match="is no layer"):
        SizedLayer("linear", 0, 30, (8, 1))


def test_layers_without_a_known_time() -> None:
    network = backbone("resnet")
    graph = graph_of(network)
    branch = branch_of(network, graph)
    layers = layers_of(graph, branch, SIZE)
    index = next(index for index, layer in layers.items() if layer.stride == (1, 1) and layer.kernel == (3, 3))
    target = graph.nodes[index].operation.target
    assert target is not None
    module = branch.get_submodule(target)
    assert isinstance(module, nn.Conv2d)
    module.padding = "same"
    with pytest.raises(UserError, match="of a kind that is not timed: take price: macs"):
        layers_of(graph, branch, SIZE)
