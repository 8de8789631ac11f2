"""Values and sizes that cannot be a label's: the one rule of check and training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.problems import BadFileError
from frugalmtl.data.sample_problems import sample_problems, turned_problem, usable, value_problem
from frugalmtl.tasks import TASKS, Task

DEPTH: Task = TASKS.build("depth")
NORMALS: Task = TASKS.build("normals")
EDGES: Task = TASKS.build("edges")
SIZE = (40, 50)


def depth(*values: float) -> Tensor:
    label = torch.full((1, *SIZE), 2.0)
    label[0, 0, : len(values)] = torch.tensor(values)
    return label


def directions(share: float, length: float) -> Tensor:
    label = torch.zeros(3, *SIZE)
    label[2] = 1.0
    label[:, : round(share * SIZE[0])] *= length
    return label


@pytest.mark.parametrize("values", [(), (0.0,), (math.nan,), (0.0, math.nan, 0.5, 3000.0)])
def test_depth_with_holes_and_far_points_is_fine(values: tuple[float, ...]) -> None:
    label = depth(*values)
    assert value_problem(DEPTH, label, label, "file") is None
    assert torch.equal(usable(DEPTH, label, "file").nan_to_num(-1.0), label.nan_to_num(-1.0))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (depth(-1.0, -1.0, math.nan), "from -1 to 2 metres (0.1 % of pixels outside, most of them -1)"),
        (depth(math.inf), "infinite values (0.05 % of pixels)"),
        (depth(-math.inf, math.nan), "infinite values (0.05 % of pixels)"),
        (depth() * 1000, "around 2000 metres (median)"),
        (depth() * 1e-6, "around 2e-06 metres (median)"),
    ],
)
def test_no_depth_is_named(label: Tensor, words: str) -> None:
    problem = value_problem(DEPTH, label, label, "file")
    assert problem is not None
    assert words in problem.what
    with pytest.raises(BadFileError):
        usable(DEPTH, label, "file")


def test_far_scenes_are_stated() -> None:
    task: Task = TASKS.build({"name": "depth", "far": 5000.0})
    assert value_problem(task, depth() * 1000, depth() * 1000, "file") is None
    with pytest.raises(UserError, match="'far' of task 'depth' must be above 0"):
        TASKS.build({"name": "depth", "far": 0.0})


@pytest.mark.parametrize(
    ("share", "length", "fine"), [(0.0, 1.0, True), (0.5, 1.03, True), (0.5, 0.9, False), (0.5, 0.0, True)]
)
def test_directions_have_unit_length_or_none(share: float, length: float, fine: bool) -> None:
    label = directions(share, length)
    problem = value_problem(NORMALS, label, NORMALS.normalise(label), "file")
    assert (problem is None) == fine
    if problem is not None:
        assert "unit length (50 % of pixels)" in problem.what


def test_a_share_that_resizing_leaves_is_fine() -> None:
    label = directions(0.0, 1.0)
    label[:, 0, :15] *= 0.8
    assert value_problem(NORMALS, label, NORMALS.normalise(label), "file") is None


def test_black_and_white_as_own_values_is_named_with_the_encoding() -> None:
    label = torch.zeros(1, *SIZE)
    label[:, :10] = 255.0
    problem = value_problem(EDGES, label, label, "file")
    assert problem is not None
    assert "from 0 to 255 (25 % of pixels outside, most of them 255)" in problem.what
    assert "encoding 'binary'" in problem.remedy
    assert value_problem(EDGES, label / 255, label / 255, "file") is None


def test_a_turned_label_is_told_from_one_of_another_size() -> None:
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    turned = torch.full((1, SIZE[1], SIZE[0]), 2.0)
    assert turned_problem(image, depth(), "file") is None
    assert turned_problem(image, torch.ones(1, 10, 10), "file") is None
    assert turned_problem(torch.zeros(3, 9, 9), torch.ones(1, 9, 9), "file") is None
    (problem,) = sample_problems(image, {"depth": turned}, [DEPTH], {"depth": "file"})
    assert problem.what == "is 50 x 40 pixels"
    assert "'exif'" in problem.remedy
    (other,) = sample_problems(image, {"depth": turned[:, :7]}, [DEPTH], {"depth": "file"})
    assert "'exif'" not in other.remedy
