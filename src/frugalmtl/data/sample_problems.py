"""Problems of the values and sizes of a sample's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from frugalmtl.data.problems import Problem
from frugalmtl.tasks import Task

UNIT_TOLERANCE = 0.05
"""How far a stored vector may be from the repaired one; 8-bit files stay within 0.01."""


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
            size, wanted = (f"{item.shape[-2]} x {item.shape[-1]}" for item in (label, image))
            problems.append(
                Problem(file, f"is {size} pixels", f"{wanted} like its image", "make it from the image as it is now")
            )
        if task.label_type == "continuous":
            problems += _value_problems(task, label, file)
    return problems


def _value_problems(task: Task, label: Tensor, file: str) -> list[Problem]:
    if label.isinf().any():
        return [Problem(file, "holds infinite values", "finite numbers", "write 0 where there is no label")]
    valid = task.valid(label)
    if not valid.any():
        return [
            Problem(file, "has no pixel with a valid label", "at least one", "check its encoding, or remove the file")
        ]
    off = ((task.normalise(label) - label).abs().amax(dim=0) > UNIT_TOLERANCE) & valid
    if off.any():
        share = 100 * off.float().mean().item()
        what = f"holds vectors that are not of unit length ({share:.2g} % of pixels)"
        return [Problem(file, what, "unit vectors, or zero for no label", "normalise it, or correct its encoding")]
    return []
