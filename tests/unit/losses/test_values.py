"""Losses against the formulas written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from frugalmtl.core.checks import UserError
from frugalmtl.losses.balanced_bce import balanced_bce
from frugalmtl.losses.bce import bce
from frugalmtl.losses.cross_entropy import cross_entropy
from frugalmtl.losses.l1 import l1
from frugalmtl.losses.normalised_l1 import normalised_l1


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_cross_entropy_is_the_log_loss_of_valid_pixels() -> None:
    raw, target, valid = draw(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6)), torch.rand(2, 5, 6) > 0.4
    probabilities = raw.softmax(1).permute(0, 2, 3, 1)[valid].numpy()
    expected = log_loss(target[valid].numpy(), probabilities, labels=range(4))
    assert cross_entropy(raw, target, valid).item() == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_of_one_class_per_image() -> None:
    raw, target, valid = draw(6, 3), torch.randint(0, 3, (6,)), torch.tensor([1, 1, 0, 1, 0, 1]).bool()
    expected = log_loss(target[valid].numpy(), raw.softmax(1)[valid].numpy(), labels=range(3))
    assert cross_entropy(raw, target, valid).item() == pytest.approx(expected, rel=1e-9)


def test_l1_is_the_mean_absolute_error_of_valid_pixels() -> None:
    raw, target, valid = draw(2, 1, 5, 6), draw(2, 1, 5, 6), torch.rand(2, 5, 6) > 0.4
    difference = np.abs(raw.numpy() - target.numpy())[:, 0][valid.numpy()]
    assert l1(raw, target, valid).item() == pytest.approx(difference.mean(), rel=1e-9)


def test_normalised_l1_ignores_length_and_counts_elements_or_pixels() -> None:
    raw, target, valid = draw(2, 3, 5, 6), draw(2, 3, 5, 6), torch.rand(2, 5, 6) > 0.4
    unit = raw.numpy() / np.linalg.norm(raw.numpy(), axis=1, keepdims=True)
    total = np.abs(unit - target.numpy()).sum(1)[valid.numpy()].sum()
    count = valid.sum().item()
    assert normalised_l1(raw, target, valid).item() == pytest.approx(total / (3 * count), rel=1e-9)
    assert normalised_l1(7 * raw, target, valid, normaliser="pixels").item() == pytest.approx(total / count, rel=1e-9)


def test_normalised_l1_of_a_zero_vector_has_a_finite_gradient() -> None:
    raw = torch.zeros(1, 3, 1, 1, requires_grad=True)
    normalised_l1(raw, torch.ones(1, 3, 1, 1), torch.ones(1, 1, 1).bool()).backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("positive_weight", [0.95, None])
def test_balanced_bce_weighs_the_two_classes(positive_weight: float | None) -> None:
    raw, valid = draw(2, 1, 5, 6), torch.rand(2, 5, 6) > 0.2
    target = (torch.rand(2, 1, 5, 6) > 0.8).double()
    probability, label = raw.sigmoid().numpy()[:, 0][valid], target.numpy()[:, 0][valid]
    weight = (label == 0).mean() if positive_weight is None else positive_weight
    each = np.where(label == 1, -weight * np.log(probability), -(1 - weight) * np.log(1 - probability))
    value = balanced_bce(raw, target, valid, positive_weight=positive_weight)
    assert value.item() == pytest.approx(each.sum() / len(each), rel=1e-9)


def test_balanced_bce_equals_the_form_with_pos_weight() -> None:
    raw, target = draw(2, 1, 5, 6), (torch.rand(2, 1, 5, 6) > 0.8).double()
    form = torch.nn.functional.binary_cross_entropy_with_logits(raw, target, pos_weight=torch.tensor(0.95 / 0.05))
    value = balanced_bce(raw, target, torch.ones(2, 5, 6).bool(), positive_weight=0.95)
    assert value.item() == pytest.approx(form.item() * 0.05, rel=1e-9)


def test_balanced_bce_refuses_a_weight_that_is_no_share() -> None:
    with pytest.raises(UserError, match="positive_weight"):
        balanced_bce(draw(1, 1, 2, 2), draw(1, 1, 2, 2), torch.ones(1, 2, 2).bool(), positive_weight=1.5)


def test_bce_is_the_log_loss_of_valid_attributes() -> None:
    raw, target, valid = draw(5, 4), (torch.rand(5, 4) > 0.5).double(), torch.rand(5, 4) > 0.3
    expected = log_loss(target[valid].numpy(), raw.sigmoid()[valid].numpy(), labels=[0, 1])
    assert bce(raw, target, valid).item() == pytest.approx(expected, rel=1e-9)
