"""Panels of single images: image, labels and every row's predictions, through the tasks' own drawing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image as Pillow
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write
from frugalmtl.report.maps.hatching import hatch
from frugalmtl.report.maps.scale_bar import with_bar
from frugalmtl.report.results import Cell, Panel, Word
from frugalmtl.tasks.base import ColourScale, Image, Task


@dataclass
class Shown:
    """One image with what is to be shown of it.

    Attributes:
        name: identifier of the sample.
        image: ``[3, H, W]`` uint8 RGB.
        labels: ``{task: label}`` of one image, in the shape a prediction has once decoded; empty for photographs.
        predictions: ``{row: {task: decoded prediction}}`` of one image.
        valid: ``{task: bool}`` ``[H, W]``, ``[K]`` or ``[]``, where the labels count; ``Task.valid`` if missing.
    """

    name: str
    image: Tensor
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    valid: Mapping[str, Tensor] = field(default_factory=dict)


def make_panels(
    samples: Sequence[Shown], tasks: Sequence[Task], folder: str | os.PathLike[str], *, stem: str = "panel"
) -> list[Panel]:
    """Draw ``samples`` into ``folder/figures`` and return the panels of a :class:`~frugalmtl.report.results.Results`.

    Tasks with a map become PNG files; pixels without a label are hatched. Tasks without a map become words, marked
    against the label.

    Args:
        samples: what to show.
        tasks: the tasks to show, in this order.
        folder: the folder of the results file; paths in the panels are relative to it.
        stem: start of the file names; photographs need another one than labelled samples.

    Raises:
        UserError: an image is not ``[3, H, W]`` uint8, or a file cannot be written.
    """
    return [_panel(sample, tasks, Path(folder), f"{stem}_{index:03d}") for index, sample in enumerate(samples)]


def _panel(sample: Shown, tasks: Sequence[Task], folder: Path, stem: str) -> Panel:
    image = sample.image
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise UserError(f"image {sample.name!r} must be [3, H, W] uint8, but is {list(image.shape)} {image.dtype}")
    panel = Panel(sample.name, _save(image.permute(1, 2, 0).cpu().numpy(), folder, f"{stem}_image"))
    for index, task in enumerate(tasks):
        label = sample.labels.get(task.name)
        valid = None
        if label is not None:
            valid = sample.valid[task.name] if task.name in sample.valid else task.valid(label)
            valid = valid.detach().cpu().bool()
        decodeds = [decoded[task.name] for decoded in sample.predictions.values() if task.name in decoded]
        scale = _scale(task, label, valid, decodeds)
        if label is not None and valid is not None:
            panel.labels[task.name] = _label(task, label, valid, scale, folder, f"{stem}_label_{index}")
        for place, (row, decoded) in enumerate(sample.predictions.items()):
            if task.name in decoded:
                name = f"{stem}_row{place:02d}_{index}"
                if task.dense:
                    cell = Cell(_save(_with_bar(_drawn(task, decoded[task.name], scale), scale), folder, name))
                else:
                    cell = _words(task, decoded[task.name], label, valid)
                panel.predictions.setdefault(row, {})[task.name] = cell
    return panel


def _label(task: Task, label: Tensor, valid: Tensor, scale: ColourScale | None, folder: Path, stem: str) -> Cell:
    if not valid.any():
        return Cell()
    if task.dense:
        return Cell(_save(_with_bar(hatch(_drawn(task, label, scale), valid.numpy()), scale), folder, stem))
    return Cell(words=[Word(text) for text in task.describe(label) if text not in _unknown(task, valid)])


def _words(task: Task, decoded: Tensor, label: Tensor | None, valid: Tensor | None) -> Cell:
    said = task.describe(decoded)
    if label is None or valid is None or not valid.any():
        return Cell(words=[Word(text) for text in said])
    unknown = _unknown(task, valid)
    truth = [text for text in task.describe(label) if text not in unknown]
    words = [Word(text, "unknown" if text in unknown else "right" if text in truth else "wrong") for text in said]
    return Cell(words=[*words, *(Word(text, "missed") for text in truth if text not in said)])


def _unknown(task: Task, valid: Tensor) -> set[str]:
    """Attributes that the sample has no label for."""
    if valid.ndim != 1:
        return set()
    return {text for text, known in zip(task.classes, valid.tolist(), strict=True) if not known}


def _scale(task: Task, label: Tensor | None, valid: Tensor | None, decoded: Sequence[Tensor]) -> ColourScale | None:
    """The scale of all pictures of a task and an image: the label's where there is one, else the predictions'."""
    if task.colour_scale is None:
        return None
    if label is not None and valid is not None and valid.any():
        return task.colour_scale([torch.where(valid, label.detach().cpu(), 0.0)])
    return task.colour_scale(decoded) if decoded else None


def _with_bar(picture: Image, scale: ColourScale | None) -> Image:
    return picture if scale is None else with_bar(picture, scale)


def _drawn(task: Task, values: Tensor, scale: ColourScale | None) -> Image:
    return task.draw(values) if scale is None else scale.draw(values)


def _save(picture: Image, folder: Path, stem: str) -> str:
    with atomic_write(folder / "figures" / f"{stem}.png") as temporary:
        Pillow.fromarray(picture).save(temporary, format="PNG", optimize=True)
    return f"figures/{stem}.png"
