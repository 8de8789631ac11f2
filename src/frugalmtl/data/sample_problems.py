"""Problems of the values and sizes of a sample's labels: one rule for the check of a dataset and for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.tasks import Task

UNIT_TOLERANCE = 0.05
"""How far a stored vector may be from the repaired one; 8-bit files stay within 0.01."""
UNIT_SHARE = 0.01
"""Share of the labelled pixels that may be further away: what resizing leaves between two directions."""
_SAMPLED = 5_000
"""Pixels, about, by which medians and lengths are judged."""


def sample_problems(
    image: Tensor | None, labels: Mapping[str, Tensor], tasks: Sequence[Task], files: Mapping[str, str]
) -> list[Problem]:
    """What is wrong with the values and sizes of the labels of one sample.

    Args:
        image: ``[3, H, W]``, or None if it could not be read.
        labels: as stored, by task name.
        tasks: tasks of the dataset.
        files: where each label came from.
    """
    problems = []
    for task in tasks:
        if task.name not in labels or not task.dense:
            continue
        label, file = labels[task.name], files[task.name]
        if image is not None and label.shape[-2:] != image.shape[-2:]:
            turned = turned_problem(image, label, file) or _size_problem(image, label, file)
            problems.append(replace(turned, task=task.name))
        wrong = value_problem(task, label, task.normalise(label), file)
        if wrong is None and task.label_type == "continuous" and not task.valid(label).any():
            remedy = "check its encoding, or remove the file"
            wrong = Problem(file, "has no pixel with a valid label", "at least one", remedy)
        problems += [] if wrong is None else [replace(wrong, task=task.name)]
    return problems


def value_problem(task: Task, label: Tensor, repaired: Tensor, file: str) -> Problem | None:
    """A value that cannot be a label of the task: infinite, out of range, in another unit, or no unit vector.

    NaN is "no label".

    Args:
        task: task of the label.
        label: ``[C, H, W]`` as stored; maps of classes are checked by their encoding.
        repaired: ``task.normalise(label)``.
        file: where it came from.
    """
    if task.label_type != "continuous" or not task.dense:
        return None
    if not label.sum().isfinite() and label.isinf().any():
        share = _percent(label.isinf().any(dim=0))
        remedy = "write NaN where there is no label, or state it as the encoding's 'invalid' (.inf, -.inf)"
        return Problem(file, f"holds infinite values ({share})", "finite numbers", remedy)
    return (
        _out_of_range(task, label, file)
        or _unusual_median(task, label, file)
        or (None if repaired is label else _not_unit(task, label, repaired, file))
    )


def usable(task: Task, label: Tensor, file: str) -> Tensor:
    """The stored label repaired (unit vectors), for training.

    Raises:
        BadFileError: :func:`value_problem` names something.
    """
    repaired = task.normalise(label)
    problem = value_problem(task, label, repaired, file)
    if problem is not None:
        raise BadFileError(problem)
    return repaired


def turned_problem(image: Tensor, label: Tensor, file: str) -> Problem | None:
    """A label as high as its image is wide, and the other way round: one of them was turned."""
    (height, width), size = image.shape[-2:], label.shape[-2:]
    if height == width or size != (width, height):
        return None
    remedy = "set 'exif' in the dataset file (apply, ignore) to how the labels were drawn, or turn one of them"
    return Problem(file, f"is {size[0]} x {size[1]} pixels", f"{height} x {width} like its image", remedy)


def _size_problem(image: Tensor, label: Tensor, file: str) -> Problem:
    size, wanted = (f"{item.shape[-2]} x {item.shape[-1]}" for item in (label, image))
    return Problem(file, f"is {size} pixels", f"{wanted} like its image", "make it from the image as it is now")


def _out_of_range(task: Task, label: Tensor, file: str) -> Problem | None:
    values = task.stored
    if values.low == -torch.inf and values.high == torch.inf:
        return None
    low, high = (value.item() for value in torch.aminmax(label))
    if low != low:  # NaN, which hides the others
        low, high = (value.item() for value in torch.aminmax(label.nan_to_num(max(values.low, 0.0))))
    if low >= values.low and high <= values.high:
        return None
    outside = (label < values.low) | (label > values.high)
    most = label[outside].mode().values.item()
    share = f"{_percent(outside.any(dim=0))} outside, most of them {most:g}"
    what = f"holds values from {low:g} to {high:g}{_unit(values.unit)} ({share})"
    expected = f"{values.low:g} or more" if values.high == torch.inf else f"{values.low:g} to {values.high:g}"
    return Problem(file, what, f"{expected}{_unit(values.unit)}, NaN for no label", values.remedy)


def _unusual_median(task: Task, label: Tensor, file: str) -> Problem | None:
    low, high = task.stored.median
    if low == -torch.inf and high == torch.inf:
        return None
    sample = _thinned(label)
    labelled = sample[:, task.valid(sample)]
    if labelled.numel() == 0:
        return None
    median, unit = labelled.median().item(), _unit(task.stored.unit)
    if low <= median <= high:
        return None
    what = f"holds values around {median:g}{unit} (median)"
    return Problem(file, what, f"{low:g} to {high:g}{unit}", task.stored.remedy)


def _not_unit(task: Task, label: Tensor, repaired: Tensor, file: str) -> Problem | None:
    thin = _thinned(label)
    valid = task.valid(thin)
    off = ((_thinned(repaired) - thin).abs().amax(dim=0) > UNIT_TOLERANCE) & valid
    if int(off.sum()) <= UNIT_SHARE * int(valid.sum()):
        return None
    what = f"holds vectors that are not of unit length ({_percent(off)})"
    return Problem(file, what, "unit vectors, or zero for no label", task.stored.remedy)


def _thinned(label: Tensor) -> Tensor:
    """Every n-th row and column, where a share of the pixels says as much as all: training looks every epoch."""
    step = max(1, int((label.shape[-2] * label.shape[-1] / _SAMPLED) ** 0.5))
    return label[..., ::step, ::step]


def _percent(pixels: Tensor) -> str:
    return f"{100 * pixels.float().mean().item():.2g} % of pixels"


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""
