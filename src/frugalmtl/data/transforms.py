"""Transforms of stored samples into tensors for training; differences between tasks come from the tasks' fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from frugalmtl.core.checks import UserError, known
from frugalmtl.data.augmentation import Augmentation, Draw
from frugalmtl.data.base import Sample
from frugalmtl.data.geometry import Fit, Geometry, Warp
from frugalmtl.tasks import Task

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass
class Example:
    """One sample, ready to be batched; fields as in :class:`frugalmtl.core.types.Batch` without the batch axis."""

    image: Tensor
    targets: dict[str, Tensor]
    valid: dict[str, Tensor]
    name: str = ""
    tasks: tuple[str, ...] | None = None


class Transform:
    """Sample -> :class:`Example`: one geometry for the image and all labels, then colours, then normalisation.

    Labels that do not have the image's size are resized to it first. ``valid`` is an explicit mask: False where the
    stored label says "none here", where the label is missing, and (``fill="clean"``) where the window shows nothing of
    the image. Targets are zero wherever ``valid`` is False, so no stray value (255, NaN) reaches a loss.

    Args:
        tasks: tasks to prepare; labels of others are dropped.
        size: height and width of the result, or one number for both.
        augmentation: random changes, or None for evaluation.
        mean: per channel, of images in [0, 1].
        std: per channel, of images in [0, 1].
        fit: ``"resize"`` stretches the image to ``size`` (survey protocol); ``"pad"`` keeps its pixels, cuts what is
            too large and centres what is too small (ATRC).
        fill: ``"clean"`` marks uncovered corners invalid for every task and paints them in the mean colour;
            ``"reference"`` fills image and labels with zeros as the survey's code does, so that corners count as
            class 0, not salient, no edge.
        interpolation: of the image. Cubic values are clipped to [0, 255] (the references let them wrap around).

    Raises:
        UserError: a size below 1, an unknown option.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        size: int | tuple[int, int],
        augmentation: Augmentation | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        *,
        fit: Fit = "resize",
        fill: Literal["clean", "reference"] = "clean",
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    ) -> None:
        self.tasks = tuple(tasks)
        self.size = (size, size) if isinstance(size, int) else (size[0], size[1])
        if min(self.size) < 1:
            raise UserError(f"size must be at least 1 pixel, but got {size!r}")
        self.augmentation = augmentation
        self.mean = torch.tensor(mean, dtype=torch.float32)[:, None, None]
        self.std = torch.tensor(std, dtype=torch.float32)[:, None, None]
        self.fit: Fit = "resize" if known("fit", fit, ("resize", "pad")) == "resize" else "pad"
        self.reference = known("fill", fill, ("clean", "reference")) == "reference"
        known("interpolation", interpolation, ("bilinear", "bicubic"))
        self.interpolation: Literal["bilinear", "bicubic"] = interpolation

    def __call__(self, sample: Sample, seed: int = 0) -> Example:
        """Transform one sample; the same sample and seed give the same example.

        Raises:
            UserError: an image or label whose shape is not that of its kind.
        """
        draw = Draw() if self.augmentation is None else self.augmentation.draw(seed)
        if sample.image.ndim != 3 or sample.image.shape[0] != 3 or 0 in sample.image.shape:
            raise UserError(f"image of {sample.name!r} must be [3, H, W], but got {list(sample.image.shape)}")
        source = (sample.image.shape[1], sample.image.shape[2])
        labels = {
            task.name: self._aligned(task, sample.labels[task.name], source, sample.name)
            for task in self.tasks
            if task.name in sample.labels
        }
        warp = self._place(labels, source, draw)
        targets: dict[str, Tensor] = {}
        valid: dict[str, Tensor] = {}
        for task in self.tasks:
            if task.name not in labels:
                targets[task.name], valid[task.name] = self._missing(task)
            elif task.dense:
                targets[task.name], valid[task.name] = self._dense(task, labels[task.name], warp, draw)
            else:
                label = labels[task.name]
                valid[task.name] = task.valid(label)
                targets[task.name] = torch.where(valid[task.name], label, torch.zeros_like(label))
        return Example(self._image(sample.image, warp, draw), targets, valid, sample.name)

    def _aligned(self, task: Task, label: Tensor, source: tuple[int, int], name: str) -> Tensor:
        """The label in its working type and, if dense, at the image's size."""
        label = label.long() if task.label_type == "classes" else label.float()
        axes = (3 if task.label_channels else 2) if task.dense else (0 if task.label_type == "classes" else 1)
        channels = label.shape[0] if label.ndim else 0
        wanted = task.label_channels if task.dense else task.channels
        if label.ndim != axes or (axes in (1, 3) and channels != wanted):
            form = {0: "a number", 1: f"[{wanted}]", 2: "[H, W]", 3: f"[{wanted}, H, W]"}[axes]
            raise UserError(f"label {task.name!r} of {name!r} must be {form}, but got {list(label.shape)}")
        if not task.dense or label.shape[-2:] == source:
            return label
        warp = Warp.of(Geometry((label.shape[-2], label.shape[-1]), source))
        if task.interpolation == "nearest":
            return warp.nearest(label)
        stored_valid = warp.nearest(task.valid(label))
        return task.normalise(warp.smooth(label, task.interpolation, border=False)) * stored_valid

    def _place(self, labels: dict[str, Tensor], source: tuple[int, int], draw: Draw) -> Warp:
        """The window: the first drawn place that no single class fills, else the last."""
        limit = 1.0 if self.augmentation is None else self.augmentation.max_class_share
        maps = (task for task in self.tasks if task.dense and not task.label_channels and task.name in labels)
        judge = next(maps, None)
        for place in draw.places:
            warp = Warp.of(Geometry(source, self.size, draw.scale, draw.degrees, self.fit, place))
            if limit >= 1.0 or judge is None:
                break
            label = labels[judge.name].flip(-1) if draw.flip else labels[judge.name]
            seen = warp.nearest(label)
            counts = torch.bincount(seen[warp.support & judge.valid(seen)].flatten())
            if counts.numel() and counts.max() <= limit * counts.sum():
                break
        return warp

    def _dense(self, task: Task, label: Tensor, warp: Warp, draw: Draw) -> tuple[Tensor, Tensor]:
        if draw.flip:
            label = task.flip(label.flip(-1))
        known_before = warp.nearest(task.valid(label)) if task.interpolation != "nearest" else None
        if task.interpolation == "nearest":
            label = warp.nearest(label)
        else:
            label = task.normalise(warp.smooth(label, task.interpolation, border=False))
        if draw.degrees != 0.0:
            label = task.rotate(label, draw.degrees)
        if draw.scale != 1.0:
            label = task.scale(label, draw.scale)
        if not warp.covered:
            # Zeros first: a task may look at the whole window (no people in it?) and must not see copied borders.
            label = torch.where(warp.support, label, torch.zeros_like(label))
        valid = task.valid(label)
        if known_before is not None:
            valid = valid & known_before
        if not self.reference:
            valid = valid & warp.support
        return torch.where(valid, label, torch.zeros_like(label)), valid

    def _missing(self, task: Task) -> tuple[Tensor, Tensor]:
        dtype = torch.long if task.label_type == "classes" else torch.float32
        if not task.dense:
            values = () if task.label_type == "classes" else (task.channels,)
            return torch.zeros(values, dtype=dtype), torch.zeros(values, dtype=torch.bool)
        channels = (task.label_channels,) if task.label_channels else ()
        return torch.zeros((*channels, *self.size), dtype=dtype), torch.zeros(self.size, dtype=torch.bool)

    def _image(self, image: Tensor, warp: Warp, draw: Draw) -> Tensor:
        if draw.flip:
            image = image.flip(-1)
        height, width = warp.source
        rise, run = Geometry(warp.source, self.size, draw.scale, fit=self.fit).magnification
        if rise < 1.0 or run < 1.0:
            # Shrinking by point sampling would alias: first shrink with a filter, then sample what is left to do.
            shrunk = [max(1, round(height * min(rise, 1.0))), max(1, round(width * min(run, 1.0)))]
            image = TF.resize(image.float(), shrunk, interpolation=_MODES[self.interpolation], antialias=True)
        pixels = warp.resized((image.shape[1], image.shape[2])).smooth(image, self.interpolation, border=True)
        pixels = _coloured(pixels.clamp(0.0, 255.0).div(255.0), draw)
        if not warp.covered:
            pixels = torch.where(warp.support, pixels, torch.zeros_like(pixels) if self.reference else self.mean)
        return (pixels - self.mean) / self.std


_MODES = {"bilinear": TF.InterpolationMode.BILINEAR, "bicubic": TF.InterpolationMode.BICUBIC}


def _coloured(image: Tensor, draw: Draw) -> Tensor:
    """Colour changes of an image ``[3, H, W]`` in [0, 1], in a fixed order."""
    if draw.brightness != 1.0:
        image = TF.adjust_brightness(image, draw.brightness)
    if draw.contrast != 1.0:
        image = TF.adjust_contrast(image, draw.contrast)
    if draw.saturation != 1.0:
        image = TF.adjust_saturation(image, draw.saturation)
    if draw.hue != 0.0:
        image = TF.adjust_hue(image, draw.hue)
    return image
