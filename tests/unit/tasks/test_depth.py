"""Depth: range, output and where predictions begin."""

from __future__ import annotations

import math

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch, Predictions
from frugalmtl.losses import task_losses
from frugalmtl.tasks import Task, make_task
from frugalmtl.tasks.depth import depth

OUTPUTS = ("linear", "log", "softplus")


def loss(task: Task, raw: torch.Tensor, metres: torch.Tensor) -> torch.Tensor:
    valid = torch.stack([task.valid(label) for label in metres])
    batch = Batch(torch.zeros(len(raw), 3, *raw.shape[-2:]), {"depth": metres}, {"depth": valid})
    return task_losses(Predictions({"depth": raw}), batch, [task])["depth"]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("start", [0.02, 0.7, 25.0, 300.0])
def test_a_network_that_gives_the_bias_predicts_the_start(output: str, start: float) -> None:
    task = depth(output=output, start=start)
    assert task.begin is not None
    assert task.decode(torch.full((1, 1, 2, 2), task.begin)).flatten().tolist() == pytest.approx([start] * 4, rel=1e-4)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_loss_is_in_metres(output: str) -> None:
    task = depth(output=output)
    raw = torch.linspace(0.5, 3.0, 12).reshape(1, 1, 3, 4)
    metres = task.decode(raw)
    assert loss(task, raw, metres + 0.25).item() == pytest.approx(0.25, rel=1e-5)
    assert loss(task, raw.bfloat16(), metres).dtype == torch.float32


@pytest.mark.parametrize("output", ["log", "softplus"])
def test_no_output_is_negative_and_every_one_has_a_gradient(output: str) -> None:
    task = depth(output=output)
    raw = torch.linspace(-8.0, 4.0, 13).reshape(1, 1, 1, 13).requires_grad_()
    assert (task.decode(raw) > 0).all()
    loss(task, raw, torch.full((1, 1, 1, 13), 200.0)).backward()
    assert raw.grad is not None
    assert (raw.grad < 0).all()


def test_labels_beyond_the_range_do_not_count_and_predictions_stay_within() -> None:
    task = depth(range=(0.5, 10.0))
    label = torch.tensor([0.0, 0.4, 0.5, 3.0, 10.0, 11.0, math.nan])[None, None]
    assert task.valid(label).flatten().tolist() == [False, False, True, True, True, False, False]
    assert task.decode(torch.tensor([-3.0, 0.1, 4.0, 50.0])[None, None, None]).flatten().tolist() == [
        0.5,
        0.5,
        4.0,
        10.0,
    ]
    assert depth(range=(1.0, 400.0)).stored.median[1] == 400.0, "as wide as it is stated"


def test_a_section_makes_the_task_again() -> None:
    task = make_task({"kind": "depth", "range": [0.5, 10], "output": "log", "start": 2}, "depth")
    again = make_task(task.section, "depth")
    assert (again.section, again.decode, again.begin) == (task.section, task.decode, task.begin)
    assert task.begin == pytest.approx(math.log(2))


@pytest.mark.parametrize("ends", [(1.0,), (5.0, 1.0), (0.0, 1.0), (1.0, math.inf)])
def test_a_range_is_two_distances(ends: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="range"):
        make_task({"kind": "depth", "range": list(ends)}, "depth")


@pytest.mark.parametrize("start", [0.0, -1.0, "mean"])
def test_a_start_is_a_distance(start: object) -> None:
    with pytest.raises(UserError, match="start"):
        make_task({"kind": "depth", "start": start}, "depth")
