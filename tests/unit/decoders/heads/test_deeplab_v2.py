"""The DeepLab-v2 head: published size, the computation written out, mistakes, what deploying leaves."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.core.checks import UserError
from frugalmtl.decoders.heads import HEADS, Head


def build(inputs: int = 6, outputs: int = 3, **config: Any) -> Head:
    head: Head = HEADS.build({"name": "deeplab_v2", **config}, [4, inputs], [4, 8], outputs)
    return head


def written_out(head: nn.Module, rates: tuple[int, ...], maps: Tensor) -> Tensor:
    """The sum of the branches, from the weights in the order of the head's state."""
    weights = list(head.state_dict().values())
    total = torch.zeros(())
    for index, rate in enumerate(rates):
        first, first_bias, second, second_bias, last, last_bias = weights[6 * index : 6 * index + 6]
        inner = F.conv2d(maps, first, first_bias, padding=rate, dilation=rate).relu()
        total = total + F.conv2d(F.conv2d(inner, second, second_bias).relu(), last, last_bias)
    return total


@pytest.mark.parametrize("outputs", [40, 19, 3, 1])
def test_head_has_the_operations_and_parameters_of_its_layers(outputs: int) -> None:
    """On a ResNet-34 dilated to stride 8 and an image of 224 (a grid of 29 x 29): 19.4 G multiply-adds per task."""
    with torch.device("meta"):
        head = build(512, outputs).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            head([torch.empty(1, 4, 57, 57), torch.empty(1, 512, 29, 29)])
    macs = counter.get_total_flops() / 2
    assert macs == 29 * 29 * 4 * (9 * 512 * 1024 + 1024 * 1024 + 1024 * outputs)
    assert macs / 1e9 == pytest.approx(19.4, rel=0.01)
    biases = 4 * (1024 + 1024 + outputs)
    assert sum(parameter.numel() for parameter in head.parameters()) == macs / 29**2 + biases


def test_head_is_the_sum_of_branches_of_the_last_level() -> None:
    rates = (1, 2, 5)
    head = build(width=8, rates=rates).eval()
    pyramid = [torch.randn(2, 4, 12, 16), torch.randn(2, 6, 6, 8)]
    torch.testing.assert_close(head(pyramid), written_out(head, rates, pyramid[1]))
    assert head.stride == 8


def test_published_form_is_the_default() -> None:
    with torch.device("meta"):
        head = build()
    rates = [conv.dilation[0] for conv in head.modules() if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)]
    dropped = [layer.p for layer in head.modules() if isinstance(layer, nn.Dropout)]
    assert (rates, dropped) == ([6, 12, 18, 24], [0.5] * 8)


def test_dropout_is_for_training_alone() -> None:
    head = build(width=8, rates=(1, 2), dropout=0.9)
    pyramid = [torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4)]
    assert not torch.equal(head(pyramid), head(pyramid))
    plain = deepcopy(head.eval()).deploy()
    assert not [layer for layer in plain.modules() if isinstance(layer, nn.Dropout)]
    assert torch.equal(plain(pyramid), head(pyramid))
    assert torch.equal(plain.train()(pyramid), head(pyramid))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"width": 0}, "width must be above 0, but got 0"),
        ({"rates": []}, "rates must name at least one dilation, but got none"),
        ({"rates": [6, 0]}, "each of rates must be above 0, but got 0"),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\], but got 1.5"),
        ({"rate": [6]}, "unknown argument of head 'deeplab_v2': 'rate'"),
    ],
)
def test_mistakes_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**config)
