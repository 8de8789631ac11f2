"""The values that travel between rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Pyramid = list[Tensor]
"""Feature maps of one task, finest first: ``[B, C_l, H/s_l, W/s_l]`` for level ``l`` with stride ``s_l``."""

Scores = dict[str, dict[str, float]]
"""``{task: {metric key: value}}``."""


Decisions = dict[str, Tensor]
"""What a method chose for each image by the values in it: bool ``[B, ...]`` by name; what is True is run."""


@dataclass
class Batch:
    """Images with the labels that stand for them.

    Every task that the batch is for has an entry in ``targets`` and ``valid``; a sample without a label for a task has
    zeros there and ``valid`` False, so partial labels need no special case downstream.

    Attributes:
        image: ``[B, 3, H, W]`` float, normalised as the backbone expects.
        targets: class maps ``[B, H, W]`` long; depth, edge and saliency maps ``[B, 1, H, W]`` float; normals
            ``[B, 3, H, W]`` float; attributes ``[B, K]`` float; a class index ``[B]`` long.
        valid: bool, ``[B, H, W]`` for dense tasks, ``[B, K]`` or ``[B]`` for the others.
        names: one identifier per sample.
        tasks: names of the tasks whose input the images are, the same in all processes; None for all. The others have
            no loss in this batch, and need no entry in ``targets`` and ``valid``.
    """

    image: Tensor
    targets: dict[str, Tensor]
    valid: dict[str, Tensor]
    names: list[str] = field(default_factory=list)
    tasks: tuple[str, ...] | None = None

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch on ``device``."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        return Batch(
            move(self.image),
            {name: move(tensor) for name, tensor in self.targets.items()},
            {name: move(tensor) for name, tensor in self.valid.items()},
            self.names,
            self.tasks,
        )


@dataclass
class Features:
    """What an encoder gives: a pyramid per task, and beside it what the training needs to know.

    Attributes:
        by_task: ``{task: pyramid}``. Tasks that share all features hold the *same* tensors.
        penalties: named scalars that a recipe's stage may add to the loss (sparsity, budget).
        statistics: named tensors for logs and pictures (gates, masks, policies); never differentiated.
    """

    by_task: dict[str, Pyramid]
    penalties: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Auxiliary:
    """Outputs that are trained and not returned: deep supervision, or what a decoder learns beside its predictions.

    Attributes:
        by_task: ``{task: raw outputs}``. They are held against the labels of their task, at the labels' size where
            they have the task's own loss; another loss says what it takes.
        loss: section of ``losses/`` (a name, or a mapping with a key ``name``) in place of the task's own, for all
            tasks of ``by_task``. It is given the outputs as they are, without the task's activation.
        weight: factor of these losses, on top of the task's.
    """

    by_task: dict[str, Tensor]
    loss: str | Mapping[str, Any] | None = None
    weight: float = 1.0


@dataclass
class Predictions:
    """What a model gives.

    Attributes:
        by_task: raw outputs (logits) ``[B, C, H, W]`` at image size for dense tasks, ``[B, C]`` for the others.
        auxiliary: what is trained beside them, by name; empty in a deployed model.
        penalties: see :class:`Features`.
        statistics: see :class:`Features`.
    """

    by_task: dict[str, Tensor]
    auxiliary: dict[str, Auxiliary] = field(default_factory=dict)
    penalties: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, Tensor] = field(default_factory=dict)

    def outputs_of(self, task: str) -> list[Tensor]:
        """All that the loss of a task is taken of: its prediction, if it has one, and its auxiliary outputs."""
        sources = (self.by_task, *(auxiliary.by_task for auxiliary in self.auxiliary.values()))
        return [source[task] for source in sources if task in source]


@dataclass
class Heatmap:
    """A picture of numbers: what a trained encoder has to show of itself (shares of channels, weights of a mix).

    Attributes:
        name: short and unique for the encoder, fit for a file name (``"own_channels"``).
        title: one line for the reader.
        rows: names of the rows (tasks).
        columns: names of the columns (layers, in order of execution).
        values: one list per row, one number per column; NaN where there is nothing to show.
        caption: how the picture is read.
        limits: the values at both ends of the colour scale; where they lie as far below 0 as above it, its hues part
            at 0.
    """

    name: str
    title: str
    rows: list[str]
    columns: list[str]
    values: list[list[float]]
    caption: str = ""
    limits: tuple[float, float] = (0.0, 1.0)


@dataclass
class Overlay:
    """Masks over photographs: what a trained encoder computes of each image, and where.

    Attributes:
        name: short and unique for the encoder, fit for a file name (``"tokens"``).
        title: one line for the reader.
        images: the photograph under each panel, as its number among the images that were given.
        panels: a caption per panel (a layer, in order of execution).
        masks: per panel ``[h][w]`` in [0, 1] on any grid: the share that is computed there, 1 for all of it; NaN where
            there is nothing to show.
        caption: how the picture is read.
    """

    name: str
    title: str
    images: list[int]
    panels: list[str]
    masks: list[list[list[float]]]
    caption: str = ""


@dataclass
class Distribution:
    """A value per image, by group, on one axis: how far a trained encoder adapts to its input.

    Attributes:
        name: short and unique for the encoder, fit for a file name.
        title: one line for the reader.
        label: of the axis, with its unit (``"multiply-adds in G"``).
        groups: ``{name: a value per image}``; NaN where there is none.
        caption: how the picture is read.
        extremes: photographs shown beneath, lowest value first, as their numbers among the images that were given.
        extreme_values: the value of each of these.
    """

    name: str
    title: str
    label: str
    groups: dict[str, list[float]]
    caption: str = ""
    extremes: list[int] = field(default_factory=list)
    extreme_values: list[float] = field(default_factory=list)


@dataclass
class Curve:
    """Lines over a number: how something runs through the layers or the images of a trained encoder.

    Attributes:
        name: short and unique for the encoder, fit for a file name.
        title: one line for the reader.
        x_label: of the horizontal axis, with its unit.
        y_label: of the vertical axis, with its unit.
        lines: ``{name: [(x, y)]}``, in the order in which each is drawn; NaN where there is nothing to show.
        caption: how the picture is read.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    lines: dict[str, list[tuple[float, float]]]
    caption: str = ""


Picture = Heatmap | Overlay | Distribution | Curve
"""Whatever an encoder shows of itself in the report."""
