"""Mean IoU and accuracy against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score
from torch import Tensor

from frugalmtl.evaluation.metrics.accuracy import Accuracy
from frugalmtl.evaluation.metrics.mean_iou import MeanIoU

CLASSES = 7


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    target = torch.randint(0, 5, (6, 11, 13))  # classes 5 and 6 are in no label
    prediction = torch.where(torch.rand(target.shape) < 0.6, target, torch.randint(0, 6, target.shape))  # 6 nowhere
    valid = torch.rand(target.shape) < 0.8
    target[~valid] = 255
    return prediction, target, valid


@pytest.mark.parametrize("absent", ["zero", "nan"])
def test_mean_iou(maps: tuple[Tensor, Tensor, Tensor], absent: str) -> None:
    prediction, target, valid = maps
    metric = MeanIoU(num_classes=CLASSES, absent=absent)
    metric.update(prediction, target, valid)
    p, t = prediction[valid].numpy(), target[valid].numpy()
    labels = list(range(CLASSES)) if absent == "zero" else list(range(6))
    expected = jaccard_score(t, p, labels=labels, average="macro", zero_division=0)
    scores = metric.compute()
    assert scores["miou"].item() == pytest.approx(expected, abs=1e-12)
    assert scores["pixel_accuracy"].item() == pytest.approx(accuracy_score(t, p), abs=1e-12)
    assert torch.equal(metric.confusion, torch.from_numpy(confusion_matrix(t, p, labels=list(range(CLASSES)))))
    each = metric.per_class()
    assert each[:6].numpy() == pytest.approx(jaccard_score(t, p, labels=list(range(6)), average=None, zero_division=0))
    assert each[5] == 0  # predicted, never true
    assert each[6].isnan()  # neither


def test_images_of_background_only_are_skipped(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, valid = maps
    target[0][valid[0]] = 0
    target[1, 0, 0], valid[1] = 3, False  # a part, but not a valid one
    metric = MeanIoU(num_classes=CLASSES, skip_background_only_images=True)
    metric.update(prediction, target, valid)
    p, t = prediction[2:][valid[2:]].numpy(), target[2:][valid[2:]].numpy()
    expected = jaccard_score(t, p, labels=list(range(CLASSES)), average="macro", zero_division=0)
    assert metric.compute()["miou"].item() == pytest.approx(expected, abs=1e-12)


def test_accuracy_of_classes() -> None:
    prediction, target, valid = torch.randint(0, 4, (50,)), torch.randint(0, 4, (50,)), torch.rand(50) < 0.7
    metric = Accuracy()
    metric.update(prediction, target, valid)
    expected = accuracy_score(target[valid], prediction[valid])
    assert metric.compute()["accuracy"].item() == pytest.approx(expected, abs=1e-12)


def test_accuracy_of_attributes() -> None:
    prediction, target, valid = torch.rand(50, 4), torch.randint(0, 2, (50, 4)).float(), torch.rand(50, 4) < 0.7
    target[~valid] = -1
    metric = Accuracy()
    metric.update(prediction, target, valid)
    expected = [accuracy_score(target[valid[:, k], k] > 0.5, prediction[valid[:, k], k] > 0.5) for k in range(4)]
    assert metric.per_attribute().numpy() == pytest.approx(np.array(expected))
    assert metric.compute()["accuracy"].item() == pytest.approx(np.mean(expected), abs=1e-12)
