"""Task: every fact that differs between tasks, in one record.

Other packages never ask for a task's name; they read these fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Literal, ParamSpec

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from frugalmtl.core.registry import Spec
from frugalmtl.tasks._decoding import Decoding

Image = npt.NDArray[np.uint8]
Arguments = ParamSpec("Arguments")


def _unchanged(label: Tensor, _amount: float = 0.0) -> Tensor:
    return label


def _all_valid(label: Tensor) -> Tensor:
    """Every position of ``label`` carries a label."""
    known = torch.ones_like(label, dtype=torch.bool)
    return known.all(dim=0) if label.ndim == 3 else known


def _no_picture(_decoded: Tensor) -> Image:
    raise TypeError("a task without a map has no picture; use Task.describe")


def _no_words(_decoded: Tensor) -> list[str]:
    return []


@dataclass(frozen=True)
class LabelValues:
    """Values that a stored continuous label can hold; others are a mistake of the file or of its encoding.

    Attributes:
        low: least value.
        high: greatest value.
        median: bounds of a map's median over its labelled pixels.
        unit: unit of the values, in messages.
        remedy: what to do about values outside.
    """

    low: float = -math.inf
    high: float = math.inf
    median: tuple[float, float] = (-math.inf, math.inf)
    unit: str = ""
    remedy: str = "correct the file, or its encoding"


@dataclass(frozen=True)
class ColourScale:
    """One scale of colours for the pictures of several maps of one quantity, so that they can be compared.

    Attributes:
        low: value at its first end; lesser ones have the same colour.
        high: value at its last end; greater ones have the same colour.
        unit: of the values, in short.
        draw: decoded prediction or label of one image -> RGB picture ``[H, W, 3]`` on this scale.
        value_at: place on the scale, from 0 (``low``) to 1 (``high``) -> value.
    """

    low: float
    high: float
    unit: str
    draw: Callable[[Tensor], Image]
    value_at: Callable[[float], float]


@dataclass(frozen=True)
class Task:
    """One task of a dataset.

    A label as it travels in a sample (before batching) is a tensor: ``[H, W]`` long for class maps, ``[C, H, W]``
    float for continuous maps, ``[K]`` float for attributes, ``[]`` long for one class. "Decoded" is a prediction in
    the units of the label, as metrics and drawings take it.

    Attributes:
        name: key of the task in a batch and in the predictions; unique in a dataset.
        kind: member of ``tasks`` that builds it.
        channels: channels of the raw prediction.
        loss: member of ``losses``.
        metrics: members of ``evaluation/metrics``.
        primary: key of the one metric that Delta_MTL reads.
        higher_is_better: direction of ``primary``.
        decode: raw predictions (batched) -> decoded predictions (batched), see :class:`frugalmtl.core.types.Batch` for
            shapes; as steps that a file can state.
        dense: a map per image (True) or a vector per image (False).
        label_type: ``"classes"`` (long map or index) or ``"continuous"`` (float).
        label_channels: channels of the stored label map; 0 for a map of classes without a channel axis.
        classes: names of the classes or attributes.
        ignore: value in stored class maps that means "no label here".
        interpolation: how the label is resized and warped.
        flip: effect of a horizontal mirror on the label's *values* (the map itself is mirrored by the transform).
        scale: effect on the values of magnifying the image by a factor (depth: metres / factor).
        rotate: effect on the values of turning the image by an angle in degrees, counter-clockwise.
        stored: values that a stored continuous label can hold.
        normalise: repairs values after interpolation (normals: unit length again).
        activate: raw predictions (batched) -> what the loss compares with labels, where that is not the raw value.
        begin: the value that the last layers' biases begin with; None leaves them as they are drawn.
        from_labels: ``{option: statistic of the training labels}``: options of the section whose values are counted
            when a training begins (:mod:`frugalmtl.data.counting`), and then are part of the section.
        valid: stored label -> bool map ``[H, W]`` (``[K]`` or ``[]``) of where it counts.
        weight: fixed loss weight of the published protocol.
        draw: decoded prediction or label of one image -> RGB picture ``[H, W, 3]``; only for dense tasks.
        colour_scale: decoded predictions and labels of one image -> the scale that their pictures share; None where
            colours mean the same in every picture.
        describe: decoded prediction or label of one image -> words; only for tasks without a map.
        legend: ``{class: "#rrggbb"}`` of the picture, for tasks that are drawn class by class.
        reads: one line that says how the picture of a continuous task is read.
        section: the config section that makes this task again (:func:`kind_of_task` fills it in).
        auxiliary: True if the task is only there to help others (PAD-Net's auxiliary tasks).
    """

    name: str
    kind: str
    channels: int
    loss: Spec
    metrics: tuple[Spec, ...]
    primary: str
    higher_is_better: bool
    decode: Decoding
    dense: bool = True
    label_type: Literal["classes", "continuous"] = "continuous"
    label_channels: int = 0
    classes: tuple[str, ...] = ()
    ignore: int | None = None
    interpolation: Literal["nearest", "bilinear"] = "nearest"
    flip: Callable[[Tensor], Tensor] = _unchanged
    scale: Callable[[Tensor, float], Tensor] = _unchanged
    rotate: Callable[[Tensor, float], Tensor] = _unchanged
    stored: LabelValues = LabelValues()
    normalise: Callable[[Tensor], Tensor] = _unchanged
    activate: Callable[[Tensor], Tensor] | None = None
    begin: float | None = None
    from_labels: Mapping[str, str] = field(default_factory=dict)
    valid: Callable[[Tensor], Tensor] = _all_valid
    weight: float = 1.0
    draw: Callable[[Tensor], Image] = _no_picture
    colour_scale: Callable[[Sequence[Tensor]], ColourScale] | None = None
    describe: Callable[[Tensor], list[str]] = _no_words
    legend: Mapping[str, str] = field(default_factory=dict, compare=False)
    reads: str = ""
    auxiliary: bool = False
    section: Mapping[str, Any] = field(default_factory=dict, compare=False)


def kind_of_task(builder: Callable[Arguments, Task]) -> Callable[Arguments, Task]:
    """Decorator of a task's builder: the task remembers the section it was made from, so that a run can be opened
    without its dataset.
    """

    @wraps(builder)
    def build(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Task:
        return replace(builder(*args, **kwargs), section={"kind": builder.__name__, **kwargs})

    return build
