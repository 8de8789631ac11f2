"""The dataset that a file declares, and its contact sheet."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import torch

from frugalmtl.core.checks import UserError, known, positive, shown
from frugalmtl.data import DATASETS, Dataset, Sample, Transform
from frugalmtl.experiment.config.files import read_yaml
from frugalmtl.report.drawing.predictions import save_picture
from frugalmtl.report.maps.contact_sheet import LabelledImage, draw_contact_sheet

SIDE = 240
"""Pixels of the longer side of a picture on a contact sheet."""
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
    """Image and labels of the first samples of a split, one row each, as a PNG.

    Raises:
        UserError: no such split, or a file of these samples cannot be used.
    """
    known("split:", split, dataset.splits)
    positive("count", count)
    dataset.prepare([split])
    samples = dataset.split(split)
    chosen = [_labelled_image(dataset, samples.load(index)) for index in range(min(count, len(samples)))]
    return save_picture(draw_contact_sheet(chosen, dataset.tasks), path)


def _labelled_image(dataset: Dataset, sample: Sample) -> LabelledImage:
    """A sample in a size for contact sheets, in the colours of its file."""
    height, width = sample.image.shape[-2:]
    factor = SIDE / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    example = Transform(dataset.tasks, size, None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(sample)
    image = (example.image * 255).round().clamp(0, 255).to(torch.uint8)
    labels = {name: label for name, label in example.targets.items() if name in sample.labels}
    return LabelledImage(sample.name, image, labels, example.valid)
