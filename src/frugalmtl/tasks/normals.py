"""Surface normals in the camera's frame: x right, y up, z towards the camera."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from frugalmtl.core.registry import Spec
from frugalmtl.layers.vectors import unit_vectors
from frugalmtl.tasks._decoding import Decoding, Step
from frugalmtl.tasks._drawing import draw_normals
from frugalmtl.tasks.base import LabelValues, Task, kind_of_task


def flip_normals(label: Tensor) -> Tensor:
    """A mirror changes the sign of x."""
    return torch.cat([-label[:1], label[1:]])


def rotate_normals(label: Tensor, degrees: float) -> Tensor:
    """Turning the image counter-clockwise turns the in-plane components with it (y points up)."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y, z = label.unbind(0)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z])


def unit_or_zero(label: Tensor, _amount: float = 0.0) -> Tensor:
    """Unit length again after interpolation; the zero vector (no label) stays zero."""
    return unit_vectors(label, dim=0)


def has_direction(label: Tensor) -> Tensor:
    """Stored zero vectors carry no label."""
    return label.square().sum(dim=0) > 1e-12


@kind_of_task
def normals(*, name: str = "normals", weight: float = 10.0, auxiliary: bool = False) -> Task:
    """Surface normals: L1 on the normalised prediction, mean angular error in degrees (lower is better).

    Args:
        name: key of the task in the dataset.
        weight: fixed loss weight (protocol of ASTMT and the survey: 10).
        auxiliary: the task only helps others.
    """
    return Task(
        name=name,
        kind="normals",
        channels=3,
        loss=Spec("normalised_l1"),
        metrics=(Spec("angular_error"),),
        primary="mean",
        higher_is_better=False,
        decode=Decoding((Step("unit_vectors"),), "unit vector"),
        label_channels=3,
        interpolation="bilinear",
        flip=flip_normals,
        rotate=rotate_normals,
        stored=LabelValues(
            remedy="read 8-bit colours by the encoding 'vectors', state a colour without a direction as its 'invalid' "
            "(invalid: [0, 0, 0]), or normalise them",
        ),
        normalise=unit_or_zero,
        valid=has_direction,
        weight=weight,
        draw=draw_normals,
        reads="red: facing right, green: up, blue: towards the camera",
        auxiliary=auxiliary,
    )
