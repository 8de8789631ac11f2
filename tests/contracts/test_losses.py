"""Contract of every loss, on the labels of every kind of task that it can take."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.losses import LOSSES

BORROWED = {"dice", "focal"}
INDEX_TARGETS = {"cross_entropy", "lovasz", *BORROWED}
DENSE_ONLY = {"balanced_bce", "normalised_l1", "lovasz", *BORROWED}
NEEDED = pytest.mark.skipif(find_spec("segmentation_models_pytorch") is None, reason="of segmentation_models.pytorch")


def example(name: str, *, dense: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, label, mask."""
    generator = torch.Generator().manual_seed(3)
    place = (4, 5) if dense else ()
    channels = 1 if name == "balanced_bce" else 3
    raw = torch.randn(2, channels, *place, generator=generator, dtype=dtype)
    target = torch.rand(2, channels, *place, generator=generator, dtype=dtype)
    valid = torch.rand(2, *(place if dense else (channels,)), generator=generator) > 0.3
    if name in INDEX_TARGETS:
        target = (target[:, 0] * channels).long()
        valid = valid if dense else valid[:, 0]
    return raw.requires_grad_(), target, valid


CASES = [
    pytest.param(name, dense, marks=NEEDED if name in BORROWED else ())
    for name in LOSSES.names()
    for dense in (True, False)
    if dense or name not in DENSE_ONLY
]


@pytest.mark.parametrize(("name", "dense"), CASES)
def test_is_a_positive_scalar_with_the_right_gradient(name: str, dense: bool) -> None:
    loss = LOSSES.get(name)
    raw, target, valid = example(name, dense=dense)
    value = loss(raw, target, valid)
    assert value.shape == ()
    assert value.item() > 0
    assert torch.autograd.gradcheck(lambda prediction: loss(prediction, target, valid), (raw,))


@pytest.mark.parametrize(("name", "dense"), CASES)
def test_nothing_valid_is_a_zero_with_a_graph(name: str, dense: bool) -> None:
    raw, target, valid = example(name, dense=dense)
    value = LOSSES.get(name)(raw, target, torch.zeros_like(valid))
    assert value.item() == 0.0
    value.backward()
    assert raw.grad is not None
    assert torch.equal(raw.grad, torch.zeros_like(raw))


@pytest.mark.parametrize(("name", "dense"), CASES)
def test_invalid_positions_do_not_count_whatever_they_hold(name: str, dense: bool) -> None:
    raw, target, valid = example(name, dense=dense)
    mask = valid.unsqueeze(1).expand_as(raw) if dense and target.is_floating_point() else valid
    spoiled: Any = 255 if name in INDEX_TARGETS else float("nan")
    loss = LOSSES.get(name)
    first = loss(raw, target, valid)
    second = loss(raw, torch.where(mask, target, spoiled), valid)
    assert torch.equal(first, second)
    (gradient,) = torch.autograd.grad(second, raw)
    assert gradient.isfinite().all()
    outside = ~(valid.unsqueeze(1) if dense or name in INDEX_TARGETS else valid).expand_as(raw)
    assert torch.equal(gradient[outside], torch.zeros_like(gradient[outside]))


@pytest.mark.parametrize(("name", "dense"), CASES)
def test_half_precision_predictions_are_compared_in_float32(name: str, dense: bool) -> None:
    raw, target, valid = example(name, dense=dense, dtype=torch.float32)
    half = raw.detach().to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = LOSSES.get(name)(half, target, valid)
    assert value.dtype == torch.float32
    assert torch.equal(value, LOSSES.get(name)(half.float(), target, valid))


@pytest.mark.parametrize(("name", "dense"), CASES)
def test_order_of_samples_does_not_matter(name: str, dense: bool) -> None:
    raw, target, valid = example(name, dense=dense)
    loss = LOSSES.get(name)
    torch.testing.assert_close(loss(raw.flip(0), target.flip(0), valid.flip(0)), loss(raw, target, valid))
