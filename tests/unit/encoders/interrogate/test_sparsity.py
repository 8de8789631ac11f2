"""The sparsity loss (eq. 4) on two layers, worked out by hand."""

from __future__ import annotations

from math import log

import pytest
import torch

from frugalmtl.encoders.interrogate.assembly import channel_weighting
from frugalmtl.encoders.interrogate.gates import Gates, Places
from frugalmtl.encoders.interrogate.sparsity import penalty_scale, sparsity
from tests.support.channels import CIFAR, image
from tests.support.gated import gated

PLACES = Places.of([2, 3], [1, 1])
ALPHA = torch.tensor([[0.0, 0.0, log(3), log(3), log(3)], [-log(3)] * 5])  # sigmoids 1/2, 1/2, 3/4 ...; 1/4 ...
TAU = 0.5
# mean: task 1 keeps (1/2 + 3/4) / 2 = 5/8 of its layers, 1/8 beyond tau; sum: (1 + 9/4) / 2 = 13/8 channels per layer,
# 3/8 beyond tau times 5/2; task 2 keeps less than its target in both.
VALUE = {"mean": (5 / 8 - 1 / 2) / 2, "sum": (13 / 8 - 5 / 4) / 2}
# 1/T * weight of the channel * sigmoid'
SLOPE = {
    "mean": [1 / 2 * 1 / 4 * 1 / 4] * 2 + [1 / 2 * 1 / 6 * 3 / 16] * 3,
    "sum": [1 / 2 * 1 / 2 * 1 / 4] * 2 + [1 / 2 * 1 / 2 * 3 / 16] * 3,
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_value_and_gradient(reduction: str) -> None:
    gates = Gates(2, PLACES, 1.0)
    with torch.no_grad():
        gates.alpha.copy_(ALPHA)
    weighting = channel_weighting(PLACES, torch.ones(5), "layers", reduction)
    value = sparsity(gates.soft(), weighting, torch.tensor([TAU, TAU]), penalty_scale(PLACES, reduction))
    assert value.item() == pytest.approx(VALUE[reduction], rel=1e-6)
    value.backward()
    torch.testing.assert_close(gates.alpha.grad, torch.tensor([SLOPE[reduction], [0.0] * 5]))


@pytest.mark.parametrize("weighting", ["layers", "macs"])
def test_an_encoder_sums_over_channels_if_told_to(weighting: str) -> None:
    encoder = gated(CIFAR, 2, reduction="sum", weighting=weighting, tau=0.2).train()
    with torch.no_grad():
        encoder.gates.alpha.fill_(0.5)
    per_layer = len(encoder.gates.columns) / len(encoder.graph.sites)
    expected = per_layer * (torch.tensor(0.5).sigmoid().item() - 0.2)
    assert encoder(image(1)).penalties["sparsity"].item() == pytest.approx(expected, rel=1e-5)


def test_the_pull_on_a_gate_does_not_depend_on_the_width_of_its_layer() -> None:
    gates = Gates(1, PLACES, 3.0)
    value = sparsity(gates.soft(), channel_weighting(PLACES, torch.ones(5), "layers", "sum"), torch.zeros(1), 2.5)
    (pull,) = torch.autograd.grad(value, gates.alpha)
    assert bool((pull == pull[0, 0]).all())
