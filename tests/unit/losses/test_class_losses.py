"""Losses of classes of which some are rare, against their definitions."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from frugalmtl.core.checks import UserError
from frugalmtl.losses import LOSSES
from frugalmtl.losses import _segmentation_models as borrowed

CLASSES = 4
WEIGHTS = (0.5, 2.0, 1.0, 3.0)
needed = pytest.mark.skipif(find_spec("segmentation_models_pytorch") is None, reason="of segmentation_models.pytorch")


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels without the last class, mask."""
    generator = torch.Generator().manual_seed(1)
    raw = torch.randn(2, CLASSES, 5, 6, generator=generator, dtype=torch.float64)
    target = torch.randint(0, CLASSES - 1, (2, 5, 6), generator=generator)
    return raw, target, torch.rand(2, 5, 6, generator=generator) > 0.3


def flat(raw: Tensor, target: Tensor, valid: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``[P, C]`` and one-hot labels ``[P, C]`` of the valid pixels."""
    logits = raw.movedim(1, -1)[valid].numpy()
    return logits, np.eye(CLASSES)[target[valid].numpy()]


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def test_weighted_cross_entropy_is_that_of_torch() -> None:
    raw, target, valid = batch()
    expected = F.cross_entropy(raw, target.masked_fill(~valid, -100), torch.tensor(WEIGHTS, dtype=raw.dtype))
    loss = LOSSES.get("cross_entropy")
    torch.testing.assert_close(loss(raw, target, valid, weights=WEIGHTS), expected)
    torch.testing.assert_close(loss(raw, target, valid, weights=(1.0,) * CLASSES), loss(raw, target, valid))


def test_weighted_cross_entropy_of_nothing_is_a_zero_with_a_graph() -> None:
    raw, target, valid = batch()
    value = LOSSES.get("cross_entropy")(raw.requires_grad_(), target + 200, valid & False, weights=WEIGHTS)
    value.backward()
    assert value.item() == 0.0
    assert raw.grad is not None


@needed
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_dice_by_its_definition(weights: tuple[float, ...] | None) -> None:
    raw, target, valid = batch()
    logits, truth = flat(raw, target, valid)
    shares = softmax(logits)
    by_class = 1 - 2 * (shares * truth).sum(0) / (shares + truth).sum(0)
    expected = np.average(np.where(truth.any(0), by_class, 0.0), weights=weights)
    assert LOSSES.get("dice")(raw, target, valid, weights=weights).item() == pytest.approx(expected)


@needed
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_by_its_definition(gamma: float, weights: tuple[float, ...] | None) -> None:
    raw, target, valid = batch()
    logits, truth = flat(raw, target, valid)
    right = 1 / (1 + np.exp(-np.where(truth == 1, logits, -logits)))
    by_class = ((1 - right) ** gamma * -np.log(right)).mean(0)
    expected = np.average(by_class, weights=weights)
    assert LOSSES.get("focal")(raw, target, valid, gamma=gamma, weights=weights).item() == pytest.approx(expected)


@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz_by_its_definition(per_image: bool) -> None:
    """The Lovász extension of the Jaccard loss: errors, from the greatest on, times what each adds to that loss."""
    raw, target, valid = batch()
    images = [(raw[:1], target[:1], valid[:1]), (raw[1:], target[1:], valid[1:])]
    groups = images if per_image else [batch()]
    expected = np.mean([_lovasz(*flat(*group)) for group in groups])
    assert LOSSES.get("lovasz")(raw, target, valid, per_image=per_image).item() == pytest.approx(expected)


def test_an_image_without_a_label_does_not_count() -> None:
    raw, target, valid = batch()
    alone = LOSSES.get("lovasz")(raw[:1], target[:1], valid[:1])
    valid[1] = False
    for per_image in (False, True):
        torch.testing.assert_close(LOSSES.get("lovasz")(raw, target, valid, per_image=per_image), alone)


@needed
@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz_is_that_of_segmentation_models(per_image: bool) -> None:
    from segmentation_models_pytorch.losses import LovaszLoss

    raw, target, valid = batch()
    theirs = LovaszLoss("multiclass", per_image=per_image, ignore_index=-100)
    expected = theirs(raw.float(), target.masked_fill(~valid, -100))
    torch.testing.assert_close(LOSSES.get("lovasz")(raw.float(), target, valid, per_image=per_image), expected)


def _lovasz(logits: np.ndarray, truth: np.ndarray) -> float:
    losses = []
    for index in np.flatnonzero(truth.any(0)):
        foreground = truth[:, index] == 1
        errors = np.abs(truth[:, index] - softmax(logits)[:, index])
        order = np.argsort(-errors)
        steps = [_jaccard_loss(foreground, order[:count]) for count in range(len(order) + 1)]
        losses.append(
            sum(errors[pixel] * (after - before) for pixel, (before, after) in zip(order, pairwise(steps), strict=True))
        )
    return float(np.mean(losses))


def _jaccard_loss(foreground: np.ndarray, mistakes: np.ndarray) -> float:
    """1 - IoU of a prediction that is wrong at some pixels."""
    predicted = foreground.copy()
    predicted[mistakes] ^= True
    return 1 - (foreground & predicted).sum() / (foreground | predicted).sum()


@needed
@pytest.mark.parametrize("name", ["dice", "focal", "lovasz"])
def test_what_is_predicted_for_sure_costs_nothing(name: str) -> None:
    _, target, valid = batch()
    sure = 40.0 * (F.one_hot(target, CLASSES).movedim(-1, 1).double() - 0.5)
    assert LOSSES.get(name)(sure, target, valid).item() == pytest.approx(0.0, abs=1e-6)
    assert LOSSES.get(name)(-sure, target, valid).item() > 0.3


def test_the_library_is_asked_for_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    borrowed._loss.cache_clear()
    monkeypatch.setattr(borrowed, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'frugalmtl\[segmentation\]'"):
        LOSSES.get("dice")(*batch())


@needed
def test_gamma_is_not_negative() -> None:
    with pytest.raises(UserError, match="gamma must be 0 or more"):
        LOSSES.get("focal")(*batch(), gamma=-1.0)
