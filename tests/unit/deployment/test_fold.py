"""Folding of batch normalisation: done where it is exact, and only there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.std_conv import StdConv2d
from torch import Tensor, nn

from frugalmtl.deployment.fold import ChannelAffine, fold_batch_norms
from frugalmtl.deployment.observe import observe

Scramble = Callable[[nn.Module], None]


class Graph(nn.Module):
    """A convolution and a normalisation, wired by a function."""

    def __init__(self, wiring: Callable[[Graph, Tensor], object], conv: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 4, 3, padding=1)
        self.other = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.twin = nn.BatchNorm2d(4)
        self.wiring = wiring

    def forward(self, image: Tensor) -> object:
        return self.wiring(self, image)


def fold(module: nn.Module, *inputs: Tensor) -> tuple[object, object]:
    """Outputs before and after."""
    module.eval()
    with torch.no_grad():
        before = module(*inputs)
        fold_batch_norms(module, observe(module, *inputs))
        return before, module(*inputs)


def kinds(module: nn.Module) -> set[type[nn.Module]]:
    return {type(part) for part in module.modules()}


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)],
        [nn.Conv2d(3, 4, 3, groups=1), nn.BatchNorm2d(4, affine=False)],
        [nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)],
        [Conv2dSame(3, 4, 3, stride=2), BatchNormAct2d(4)],
        [nn.Flatten(), nn.Linear(3 * 64, 4), nn.BatchNorm1d(4)],
    ],
)
def test_folds_into_the_layer_before(layers: list[nn.Module], scramble_norms: Scramble) -> None:
    module = nn.Sequential(*layers)
    for part in module:
        if getattr(part, "affine", False):
            scramble_norms(part)
        elif isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    before, after = fold(module, torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert not kinds(module) & {nn.BatchNorm1d, nn.BatchNorm2d, BatchNormAct2d, ChannelAffine}


@pytest.mark.parametrize(
    "wiring",
    [
        pytest.param(lambda g, x: (lambda y: g.norm(y) + y)(g.conv(x)), id="skip around the norm"),
        pytest.param(lambda g, x: (lambda y: [g.norm(y), y])(g.conv(x)), id="output returned"),
        pytest.param(lambda g, x: (lambda y: g.norm(y) + g.twin(y))(g.conv(x)), id="two norms, one convolution"),
        pytest.param(lambda g, x: g.norm(g.conv(x)) + g.twin(g.conv(x.flip(-1))), id="convolution runs twice"),
        pytest.param(lambda g, x: g.norm(g.conv(x)) + g.norm(g.other(x.flip(-1))), id="one norm, two convolutions"),
        pytest.param(lambda g, x: g.norm(g.conv(x)) + g.conv(x.flip(-1)), id="convolution runs twice, norm once"),
        pytest.param(lambda g, x: g.norm(g.conv(x)) + g.norm(x.repeat(1, 2, 1, 1)[:, :4]), id="norm runs twice"),
        pytest.param(lambda g, x: (lambda y: g.norm(y) + g.norm(y))(g.conv(x)), id="norm reads twice"),
        pytest.param(
            lambda g, x: g.norm(g.conv(x)) + g.twin(g.conv(x.flip(-1))) + g.norm(g.conv(x.flip(-2))),
            id="pairs of one convolution and two norms",
        ),
        pytest.param(lambda g, x: g.norm(g.conv(x).relu()), id="an operation between"),
        pytest.param(lambda g, x: g.norm((lambda y: y.add_(y.flip(-1)))(g.conv(x))), id="changed in place"),
    ],
)
def test_keeps_an_affine_where_folding_would_be_wrong(wiring: object, scramble_norms: Scramble) -> None:
    module = Graph(wiring)  # type: ignore[arg-type]
    scramble_norms(module)
    weight = module.conv.weight.clone()
    before, after = fold(module, torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert torch.equal(module.conv.weight, weight)
    assert ChannelAffine in kinds(module)
    assert type(module.norm) is not nn.BatchNorm2d


@pytest.mark.parametrize(
    "wiring",
    [
        pytest.param(lambda g, x: g.norm(g.conv(x)) + g.norm(g.conv(x.flip(-1))), id="side by side"),
        pytest.param(lambda g, x: g.norm(g.conv(g.norm(g.conv(x))[:, :3].relu())), id="one after the other"),
    ],
)
def test_a_pair_that_runs_twice_is_folded_once(wiring: object, scramble_norms: Scramble) -> None:
    module = Graph(wiring)  # type: ignore[arg-type]
    scramble_norms(module)
    before, after = fold(module, torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert type(module.norm) is nn.Identity


def test_a_pair_registered_twice_in_one_container_is_folded_once(scramble_norms: Scramble) -> None:
    pair = [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)]
    module = nn.Sequential(*pair, nn.ReLU(), *pair)
    scramble_norms(module)
    before, after = fold(module, torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert not kinds(module) & {nn.BatchNorm2d, ChannelAffine}


def test_layers_that_share_a_weight_are_folded_apart(scramble_norms: Scramble) -> None:
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    module[2].weight = module[0].weight
    scramble_norms(module)
    before, after = fold(module, torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert not kinds(module) & {nn.BatchNorm2d, ChannelAffine}


def test_does_not_fold_into_layers_that_compute_their_weight(scramble_norms: Scramble) -> None:
    standardised = Graph(lambda g, x: g.norm(g.conv(x)), StdConv2d(3, 4, 3, padding=1))
    parametrised = Graph(lambda g, x: g.norm(g.conv(x)))
    nn.utils.parametrizations.weight_norm(parametrised.conv)
    for module in (standardised, parametrised):
        scramble_norms(module)
        before, after = fold(module, torch.randn(2, 3, 8, 8))
        torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
        assert ChannelAffine in kinds(module)


def test_linear_over_tokens_is_not_what_the_norm_works_on(scramble_norms: Scramble) -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))  # [B, 4, 5] -> normalised over axis 1, not the last
    scramble_norms(module)
    before, after = fold(module, torch.randn(2, 4, 5))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert ChannelAffine in kinds(module)
