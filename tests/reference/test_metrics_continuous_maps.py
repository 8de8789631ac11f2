"""Errors of continuous maps against scikit-learn and plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, root_mean_squared_error
from torch import Tensor

from frugalmtl.evaluation.metrics.absolute_relative_error import AbsoluteRelativeError
from frugalmtl.evaluation.metrics.angular_error import AngularError
from frugalmtl.evaluation.metrics.mean_absolute_error import MeanAbsoluteError
from frugalmtl.evaluation.metrics.root_mean_square_error import RootMeanSquareError

FUNCTIONS = {
    "rmse": root_mean_squared_error,
    "abs_err": mean_absolute_error,
    "abs_rel": mean_absolute_percentage_error,
    "delta1": lambda t, p: np.mean([max(a / b, b / a) < 1.25 for a, b in zip(t, p, strict=True)]),
}


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    target = torch.rand(5, 1, 9, 12) * 9 + 0.5
    prediction = target * (1 + 0.3 * torch.randn(target.shape)).clamp(min=0.05)
    valid = torch.rand(5, 9, 12) < 0.7
    valid[2] = False  # an image without a label
    valid[3, 1:] = False  # and one with few
    target[~valid[:, None]] = torch.nan
    prediction[~valid[:, None]] = torch.inf
    return prediction, target, valid


@pytest.mark.parametrize("reduction", ["pixel", "image"])
@pytest.mark.parametrize("member", [RootMeanSquareError, MeanAbsoluteError, AbsoluteRelativeError])
def test_pooled_errors(maps: tuple[Tensor, Tensor, Tensor], member: type, reduction: str) -> None:
    prediction, target, valid = maps
    metric = member(reduction=reduction)
    metric.update(prediction, target, valid)
    images = [
        (target[i, 0][valid[i]].double().numpy(), prediction[i, 0][valid[i]].double().numpy())
        for i in range(5)
        if valid[i].any()
    ]
    pooled = tuple(np.concatenate(side) for side in zip(*images, strict=True))
    for key, value in metric.compute().items():
        function = FUNCTIONS[key]
        expected = function(*pooled) if reduction == "pixel" else np.mean([function(*image) for image in images])
        assert value.item() == pytest.approx(expected, rel=1e-6), key


def test_predictions_at_or_below_zero_are_never_close() -> None:
    metric = AbsoluteRelativeError()
    metric.update(torch.tensor([[[[-1.0, 0.0, 1.0]]]]), torch.ones(1, 1, 1, 3), torch.ones(1, 1, 3).bool())
    assert metric.compute()["delta1"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("count", [100, 101])
def test_angular_error(count: int) -> None:
    target = torch.nn.functional.normalize(torch.randn(1, 3, 10, 20), dim=1)
    prediction = torch.nn.functional.normalize(target + 0.4 * torch.randn(target.shape), dim=1)
    valid = torch.zeros(1, 200, dtype=torch.bool)
    valid[0, torch.randperm(200)[:count]] = True
    valid = valid.view(1, 10, 20)
    target[~valid[:, None].expand_as(target)] = torch.nan
    metric = AngularError()
    metric.update(prediction, target, valid)
    p = prediction[0].permute(1, 2, 0)[valid[0]].double().numpy()
    t = target[0].permute(1, 2, 0)[valid[0]].double().numpy()
    cosine = [np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(p, t, strict=True)]
    degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    scores = {key: value.item() for key, value in metric.compute().items()}
    assert scores["mean"] == pytest.approx(degrees.mean(), rel=1e-6)
    assert scores["median"] == pytest.approx(np.median(degrees), abs=6e-4)
    for limit in (11.25, 22.5, 30):
        assert scores[f"within_{limit:g}"] == pytest.approx((degrees < limit).mean(), abs=1e-12)


def test_angles_are_exact_at_both_ends() -> None:
    """Where acos of a float32 product loses half its digits."""
    tilt = torch.tensor([1e-4, 1e-2])
    target = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    prediction = torch.stack([tilt.sin(), torch.zeros(2), tilt.cos()]).view(1, 3, 1, 2)
    valid = torch.ones(1, 1, 2).bool()
    for sign, expected in ((1, tilt.rad2deg().mean()), (-1, 180 - tilt.rad2deg().mean())):
        metric = AngularError()
        metric.update(sign * prediction, target, valid)
        assert metric.compute()["mean"].item() == pytest.approx(expected.item(), rel=1e-6)
