"""The dataset that a file declares, and its contact sheet."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch

from frugalmtl.core.checks import UserError, known, positive, shown
from frugalmtl.data import DATASETS, Dataset, Transform
from frugalmtl.experiment.config.files import read_yaml
from frugalmtl.report.drawing.predictions import save_picture
from frugalmtl.tasks.base import Image

_FOLDER = ("images", "root", "splits")
"""Keys of a folder dataset's declaration that no experiment has."""


def open_dataset(path: str | Path) -> Dataset:
    """The dataset of a file: an experiment or comparison with a ``data`` section, or a folder dataset's own
    declaration.

    Raises:
        UserError: the file is none of them, or does not fit.
    """
    content = read_yaml(path)
    base = content.get("base")
    section = content.get("data") or (base.get("data") if isinstance(base, dict) else None)
    if section is None and any(key in content for key in _FOLDER):
        section = {"name": "folder", "file": str(path)}
    if section is None:
        near = [(key, close) for key in content for close in get_close_matches(key[:20], ("data", *_FOLDER), n=1)]
        hint = f"; did you mean {near[0][1]!r} by {shown(near[0][0])}?" if near else ""
        raise UserError(
            f"{path} declares no dataset: expected a key 'data', or a folder dataset's 'images' and 'tasks'{hint}"
        )
    dataset: Dataset = DATASETS.build(section)
    return dataset


def contact_sheet(dataset: Dataset, split: str, count: int, path: Path) -> Path:
    """Image and labels of the first samples of a split, one row each, as a PNG; attributes are left out.

    Images of different sizes are stretched to the size of the first.

    Raises:
        UserError: no such split.
    """
    known("split:", split, dataset.splits)
    positive("count", count)
    dataset.prepare([split])
    samples = dataset.split(split)
    size = dataset.image_size or tuple(samples.load(0).image.shape[-2:])
    tasks = [task for task in dataset.tasks if task.dense]
    plain = Transform(tasks, (size[0], size[1]), None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    rows: list[Image] = []
    for index in range(min(count, len(samples))):
        example = plain(samples.load(index))
        image = (example.image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        rows.append(np.concatenate([image, *(task.draw(example.targets[task.name]) for task in tasks)], axis=1))
    return save_picture(np.concatenate(rows), path)
