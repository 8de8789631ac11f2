"""Maximal F, foreground IoU and boundary F against loops over images and thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.morphology import skeletonize, thin
from sklearn.metrics import fbeta_score, jaccard_score, log_loss, precision_score, recall_score
from torch import Tensor

from frugalmtl.evaluation.metrics.binary_cross_entropy import BinaryCrossEntropy
from frugalmtl.evaluation.metrics.boundary_f import BoundaryF
from frugalmtl.evaluation.metrics.foreground_iou import ForegroundIoU
from frugalmtl.evaluation.metrics.max_f import MaxF

SURVEY = np.linspace(0.2, 0.9, 15).astype(np.float32)
ATRC = np.arange(0.05, 0.99, 0.05).astype(np.float32)


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    target = (torch.rand(6, 1, 10, 14) < 0.3).float()
    prediction = (0.4 * target + 0.6 * torch.rand(target.shape)).clamp(0, 1)
    prediction[:, :, :2] = (prediction[:, :, :2] * 20).round() / 20  # many values lie on a threshold exactly
    valid = torch.rand(6, 10, 14) < 0.8
    target[1], prediction[1] = 0, 0.1  # both empty
    target[2] = 0  # only the label empty
    valid[3] = False  # no label
    target[~valid[:, None]] = 255
    prediction[~valid[:, None]] = torch.nan
    return prediction, target, valid


def images(maps: tuple[Tensor, Tensor, Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
    prediction, target, valid = maps
    seen = [i for i in range(len(valid)) if valid[i].any()]
    return [(prediction[i, 0][valid[i]].numpy(), target[i, 0][valid[i]].numpy() > 0.5) for i in seen]


def test_max_f_of_the_survey(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    metric = MaxF(definition="survey")
    metric.update(*maps)
    best = 0.0
    for threshold in SURVEY:
        precision = np.mean([precision_score(t, p > threshold, zero_division=0) for p, t in images(maps)])
        recall = np.mean([recall_score(t, p > threshold, zero_division=0) for p, t in images(maps)])
        best = max(best, 2 * precision * recall / (precision + recall))
    assert metric.compute()["maxf"].item() == pytest.approx(best, abs=1e-12)


def test_max_f_of_atrc(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    metric = MaxF(definition="atrc")
    metric.update(*maps)
    p, t = (np.concatenate(side) for side in zip(*images(maps), strict=True))
    best = max(fbeta_score(t, p >= threshold, beta=0.3**0.5, zero_division=0) for threshold in ATRC)
    assert metric.compute()["maxf"].item() == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("weight", [None, 0.8])
@pytest.mark.parametrize("reduction", ["pixel", "image"])
def test_binary_cross_entropy(maps: tuple[Tensor, Tensor, Tensor], weight: float | None, reduction: str) -> None:
    metric = BinaryCrossEntropy(positive_weight=weight, reduction=reduction)  # type: ignore[arg-type]
    metric.update(*maps)
    sums, counts = [], []
    for p, t in images(maps):
        weights = np.ones(len(t)) if weight is None else np.where(t, weight, 1 - weight)
        p = p.astype(np.float64)
        sums.append(log_loss(t, p, sample_weight=weights, normalize=False, labels=[False, True]))
        counts.append(len(t))
    expected = sum(sums) / sum(counts) if reduction == "pixel" else np.mean(np.divide(sums, counts))
    assert metric.compute()["loss"].item() == pytest.approx(expected, rel=1e-6)


def test_binary_cross_entropy_of_sure_and_wrong_is_finite() -> None:
    metric = BinaryCrossEntropy()
    metric.update(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool))
    assert metric.compute()["loss"].item() == 100.0


def test_foreground_iou_of_the_survey(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    metric = ForegroundIoU(definition="survey")
    metric.update(*maps)
    best = max(
        np.mean([jaccard_score(t, p > threshold, zero_division=1) for p, t in images(maps)]) for threshold in SURVEY
    )
    assert metric.compute()["iou"].item() == pytest.approx(best, abs=1e-12)


def test_foreground_iou_pooled(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    metric = ForegroundIoU(definition="atrc")
    metric.update(*maps)
    p, t = (np.concatenate(side) for side in zip(*images(maps), strict=True))
    best = max(jaccard_score(t, p >= threshold) for threshold in ATRC)
    assert metric.compute()["iou"].item() == pytest.approx(best, abs=1e-12)


def boundaries() -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(3)
    fields = gaussian_filter(rng.standard_normal((3, 40, 48)), (0, 5, 5))
    truth = np.abs(fields) < 0.07 * np.abs(fields).max()
    noisy = np.roll(truth, 1, axis=2) + 0.5 * rng.standard_normal(truth.shape)
    probability = np.clip(gaussian_filter(noisy, (0, 1, 1)), 0, 1)
    valid = np.ones(truth.shape, dtype=bool)
    valid[0, :5] = False
    as_map = [torch.from_numpy(array[:, None].astype(np.float32)) for array in (probability, truth)]
    return as_map[0], as_map[1], torch.from_numpy(valid)


def largest_assignment(predicted: np.ndarray, truth: np.ndarray, distance: float) -> int:
    """Number of pairs of a cheapest assignment in which a pair out of reach costs more than all others together."""
    a, b = np.argwhere(predicted), np.argwhere(truth)
    if len(a) == 0 or len(b) == 0:
        return 0
    near = cdist(a, b)
    rows, columns = linear_sum_assignment(np.where(near <= distance, near, 1e6))
    return int((near[rows, columns] <= distance).sum())


@pytest.mark.parametrize("thinning", ["zhang_suen", "guo_hall"])
@pytest.mark.parametrize("matching", ["exact", "dilation"])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.08])
def test_boundary_f(matching: str, thinning: str, share: float) -> None:
    maps = boundaries()
    metric = BoundaryF(matching=matching, max_distance=share, thresholds=9, thinning=thinning)
    metric.update(*maps)
    lines = skeletonize if thinning == "zhang_suen" else thin
    distance = share * (40**2 + 48**2) ** 0.5
    scores = []
    for threshold in np.arange(1, 10) / 10:
        near = predicted = covered = actual = 0
        for p, t, v in zip(maps[0][:, 0].numpy(), maps[1][:, 0].numpy() > 0.5, maps[2].numpy(), strict=True):
            ours, truth = lines((p >= np.float32(threshold)) & v), lines(t & v)
            if matching == "exact":
                pairs = largest_assignment(ours, truth, distance)
                near, covered = near + pairs, covered + pairs
            else:
                near += int((distance_transform_edt(~truth)[ours] <= distance).sum()) if truth.any() else 0
                covered += int((distance_transform_edt(~ours)[truth] <= distance).sum()) if ours.any() else 0
            predicted, actual = predicted + int(ours.sum()), actual + int(truth.sum())
        precision, recall = near / max(predicted, 1), covered / max(actual, 1)
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    ((key, value),) = metric.compute().items()
    assert key == ("ods_f" if matching == "exact" else "ods_f_approx")
    assert value.item() == pytest.approx(max(scores), abs=1e-12)
    assert 0 < value < 1
