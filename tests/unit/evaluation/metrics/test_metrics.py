"""The promises of every metric, on one shared set of inputs per metric."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.metrics import METRICS, Score

Inputs = tuple[Tensor, Tensor, Tensor]
B, H, W, C, K = 6, 12, 10, 5, 3


def class_maps() -> Inputs:
    target = torch.randint(0, C, (B, H, W))
    return torch.where(torch.rand(B, H, W) < 0.6, target, torch.randint(0, C, (B, H, W))), target, dense_mask()


def positive_maps() -> Inputs:
    target = torch.rand(B, 1, H, W) * 5 + 0.5
    return target * (1 + 0.2 * torch.randn(target.shape)).clamp(min=0.1), target, dense_mask()


def directions() -> Inputs:
    target = torch.nn.functional.normalize(torch.randn(B, 3, H, W), dim=1)
    return torch.nn.functional.normalize(target + 0.3 * torch.randn(target.shape), dim=1), target, dense_mask()


def binary_maps() -> Inputs:
    target = (torch.rand(B, 1, H, W) < 0.3).float()
    return (0.5 * target + 0.6 * torch.rand(target.shape)).clamp(0, 1), target, dense_mask()


def attributes() -> Inputs:
    return torch.rand(B, K), torch.randint(0, 2, (B, K)).float(), torch.rand(B, K) < 0.8


def indices() -> Inputs:
    return torch.randint(0, 2, (B,)), torch.randint(0, 2, (B,)), torch.arange(B) != 2


def dense_mask() -> Tensor:
    valid = torch.rand(B, H, W) < 0.8
    valid[4] = False
    return valid


PERFECT_BINARY = {"maxf": 1.0, "iou": 1.0, "ods_f": 1.0, "ods_f_approx": 1.0}
CASES: dict[str, tuple[Mapping[str, Any], Callable[[], Inputs], dict[str, float]]] = {
    "mean_iou": ({"num_classes": C}, class_maps, {"miou": 1, "pixel_accuracy": 1}),
    "mean_iou-nan": ({"num_classes": C + 1, "absent": "nan"}, class_maps, {"miou": 1, "pixel_accuracy": 1}),
    "mean_iou-skip": (
        {"num_classes": C, "skip_background_only_images": True},
        class_maps,
        {"miou": 1, "pixel_accuracy": 1},
    ),
    "root_mean_square_error": ({}, positive_maps, {"rmse": 0}),
    "root_mean_square_error-image": ({"reduction": "image"}, positive_maps, {"rmse": 0}),
    "mean_absolute_error": ({}, positive_maps, {"abs_err": 0}),
    "absolute_relative_error": ({}, positive_maps, {"abs_rel": 0, "delta1": 1}),
    "absolute_relative_error-image": ({"reduction": "image"}, positive_maps, {"abs_rel": 0, "delta1": 1}),
    "angular_error": (
        {},
        directions,
        {"mean": 0, "median": 0, "within_11.25": 1, "within_22.5": 1, "within_30": 1},
    ),
    "max_f": ({}, binary_maps, PERFECT_BINARY),
    "max_f-atrc": ({"definition": "atrc"}, binary_maps, PERFECT_BINARY),
    "foreground_iou": ({}, binary_maps, PERFECT_BINARY),
    "foreground_iou-atrc": ({"definition": "atrc"}, binary_maps, PERFECT_BINARY),
    "binary_cross_entropy": ({}, binary_maps, {"loss": 0}),
    "binary_cross_entropy-balanced": ({"positive_weight": 0.9, "reduction": "image"}, binary_maps, {"loss": 0}),
    "boundary_f": ({"thresholds": 9, "max_distance": 0.1}, binary_maps, PERFECT_BINARY),
    "boundary_f-dilation": ({"thresholds": 9, "matching": "dilation"}, binary_maps, PERFECT_BINARY),
    "accuracy": ({}, attributes, {"accuracy": 1}),
    "accuracy-indices": ({}, indices, {"accuracy": 1}),
}
each_case = pytest.mark.parametrize("case", CASES)


def build(case: str) -> tuple[Score, Inputs]:
    args, inputs, _ = CASES[case]
    metric = METRICS.build({"name": case.partition("-")[0], **args})
    assert isinstance(metric, Score)
    return metric, inputs()


def values(metric: Score) -> dict[str, float]:
    return {key: value.item() for key, value in metric.compute().items()}


def test_every_member_has_a_case() -> None:
    assert {case.partition("-")[0] for case in CASES} == set(METRICS.names())


@each_case
def test_keys_have_a_direction_and_a_unit(case: str) -> None:
    metric, inputs = build(case)
    metric.update(*inputs)
    scores = metric.compute()
    assert set(scores) == set(metric.directions) == set(metric.units)
    assert all(isinstance(value, bool) for value in metric.directions.values())
    assert all(value.ndim == 0 and value.isfinite() for value in scores.values())


@each_case
def test_batches_may_be_split(case: str) -> None:
    metric, inputs = build(case)
    metric.update(*inputs)
    whole = values(metric)
    for sizes in ([1] * B, [4, 2]):
        metric.reset()
        for parts in zip(*(tensor.split(sizes) for tensor in inputs), strict=True):
            metric.update(*parts)
        assert values(metric) == pytest.approx(whole, rel=1e-9)


@each_case
def test_states_merge_as_processes_sync(case: str) -> None:
    """Twice: with ``merge_state``, and with a gather that hands back the states of two processes."""
    metric, inputs = build(case)
    metric.update(*inputs)
    whole = values(metric)
    first, second = copy.deepcopy(metric), copy.deepcopy(metric)
    for part, rows in ((first, slice(0, 4)), (second, slice(4, B))):
        part.reset()
        part.update(*(tensor[rows] for tensor in inputs))
    others = iter([getattr(second, name) for name in second._defaults])
    synced = copy.deepcopy(first)
    synced.dist_sync_fn = lambda state, group: [state, next(others)]
    synced.distributed_available_fn = lambda: True
    assert values(synced) == pytest.approx(whole, rel=1e-9)
    first.merge_state(second)
    assert values(first) == pytest.approx(whole, rel=1e-9)


@each_case
def test_nothing_valid_gives_nan(case: str) -> None:
    metric, (prediction, target, valid) = build(case)
    metric.update(prediction, target, torch.zeros_like(valid))
    assert all(math.isnan(value) for value in values(metric).values())
    assert set(metric.remarks()) == set(values(metric))


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith(("foreground", "max_f", "boundary"))])
def test_a_set_without_foreground_has_no_score(case: str) -> None:
    metric, _ = build(case)
    metric.update(torch.zeros(2, 1, H, W), torch.zeros(2, 1, H, W), torch.ones(2, H, W).bool())
    assert all(math.isnan(value) for value in values(metric).values())
    assert all(line.startswith("no label holds") for line in metric.remarks().values())


@each_case
def test_what_lies_outside_the_mask_is_never_read(case: str) -> None:
    metric, (prediction, target, valid) = build(case)
    metric.update(prediction, target, valid)
    clean = values(metric)
    metric.reset()
    mask = valid if valid.shape == target.shape else valid[:, None].expand_as(target)
    junk = math.nan if target.is_floating_point() else 255
    metric.update(prediction.masked_fill(~mask, junk), target.masked_fill(~mask, junk), valid)
    assert values(metric) == clean


@each_case
def test_perfect_prediction(case: str) -> None:
    metric, (_, target, valid) = build(case)
    metric.update(target, target, valid)
    expected = CASES[case][2]
    assert values(metric) == pytest.approx({key: expected[key] for key in metric.directions}, abs=1e-3)


@each_case
def test_worse_predictions_score_worse(case: str) -> None:
    metric, (prediction, target, valid) = build(case)
    metric.update(target, target, valid)
    best = values(metric)
    metric.reset()
    metric.update(prediction, target, valid)
    for key, value in values(metric).items():
        assert value <= best[key] if metric.directions[key] else value >= best[key]
    assert values(metric) != best


@each_case
def test_reset_forgets_and_copies_travel(case: str) -> None:
    metric, inputs = build(case)
    metric.update(*inputs)
    before = values(metric)
    assert values(pickle.loads(pickle.dumps(metric))) == before
    metric.reset()
    metric.update(*inputs)
    assert values(metric) == before


@each_case
def test_shapes_that_do_not_match_are_refused(case: str) -> None:
    metric, (prediction, target, valid) = build(case)
    with pytest.raises(UserError, match="both must be"):
        metric.update(prediction[:, :-1] if prediction.ndim > 1 else prediction[:-1], target, valid)
    with pytest.raises(UserError, match="bool mask"):
        metric.update(prediction, target, valid.long())


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("mean_iou", {}, "num_classes"),
        ("mean_iou", {"num_classes": 1}, "2 or more"),
        ("mean_iou", {"num_classes": 3, "absent": "one"}, "absent"),
        ("root_mean_square_error", {"reduction": "batch"}, "reduction"),
        ("max_f", {"definition": "mine"}, "definition"),
        ("foreground_iou", {"definition": "mine"}, "definition"),
        ("boundary_f", {"matching": "greedy"}, "matching"),
        ("boundary_f", {"thinning": "none"}, "thinning"),
        ("boundary_f", {"thresholds": 0}, "above 0"),
        ("boundary_f", {"max_distance": 2.0}, "diagonal"),
    ],
)
def test_bad_options_are_refused(name: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        METRICS.build({"name": name, **args})


@pytest.mark.parametrize(("value", "what"), [(-1, "label"), (C, "label"), (C, "prediction")])
def test_class_numbers_out_of_range_are_refused(value: int, what: str) -> None:
    metric, (prediction, target, valid) = build("mean_iou")
    valid[0, 0, 0] = True
    (target if what == "label" else prediction)[0, 0, 0] = value
    with pytest.raises(UserError, match=f"{what} {value}"):
        metric.update(prediction, target, valid)


def test_relative_error_refuses_labels_at_zero() -> None:
    metric, (prediction, target, valid) = build("absolute_relative_error")
    with pytest.raises(UserError, match="not above 0"):
        metric.update(prediction, target * 0, valid)


def test_exact_matching_never_exceeds_the_approximation() -> None:
    scores = {}
    inputs = binary_maps()
    for matching in ("exact", "dilation"):
        metric = METRICS.build({"name": "boundary_f", "matching": matching, "max_distance": 0.15, "thresholds": 9})
        metric.update(*inputs)
        ((key, value),) = values(metric).items()
        scores[key] = value
    assert scores["ods_f"] < scores["ods_f_approx"]


def test_boundary_tolerance_is_a_share_of_the_diagonal() -> None:
    """A line three pixels off on a 30 x 40 map (diagonal 50) is found from 3/50 on."""
    target, prediction = torch.zeros(1, 1, 30, 40), torch.zeros(1, 1, 30, 40)
    target[..., 5:25, 20], prediction[..., 5:25, 23] = 1, 0.7
    for share, expected in ((2.9 / 50, 0.0), (3.01 / 50, 1.0)):
        metric = METRICS.build({"name": "boundary_f", "max_distance": share, "thresholds": 9})
        metric.update(prediction, target, torch.ones(1, 30, 40).bool())
        assert values(metric) == {"ods_f": expected}


def test_unit_of_a_map_is_an_option() -> None:
    assert METRICS.build("root_mean_square_error").units == {"rmse": "m"}
    assert METRICS.build({"name": "root_mean_square_error", "unit": "1/m"}).units == {"rmse": "1/m"}
