"""Panels of a report: test images and photographs with the models' predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from frugalmtl.data import Dataset, Transform
from frugalmtl.data.photographs import distinct, photo_name, read_photo, shrink
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.run import Run
from frugalmtl.report import Panel, Shown, make_panels
from frugalmtl.report.pictures.predictions import save_legend, save_predictions

PHOTO_SIZE = 256
"""Longer side of photographs in the report: about the scale at which the networks were trained."""


def test_panels(
    predictors: Mapping[str, Predictor], dataset: Dataset, runs: Mapping[str, Sequence[Run]], count: int, folder: Path
) -> list[Panel]:
    """Images spread evenly over the test split, with labels and every row's predictions."""
    first = next(iter(predictors.values()))
    config = next(iter(runs.values()))[0].config
    split = dataset.split(config.test_split)
    count = min(count, len(split))
    tasks = first.tasks
    plain = Transform(tasks, first.built.image_size, None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit=config.fit)
    samples = []
    for place in range(count):
        example = plain(split.load(place * (len(split) // count)))
        image = (example.image * 255).round().clamp(0, 255).to(torch.uint8)
        photo = image.permute(1, 2, 0).numpy()
        samples.append(
            Shown(
                name=example.name,
                image=image,
                labels=example.targets,
                predictions={row: predictor(photo) for row, predictor in predictors.items()},
                valid=example.valid,
            )
        )
    return make_panels(samples, tasks, folder)


def photo_panels(
    row: str, predictor: Predictor, sources: Sequence[str], size: tuple[int, int], folder: Path
) -> list[Panel]:
    """Photographs with the predictions of one row, which are also written to ``predictions/`` as overlays."""
    samples = []
    for source, name in zip(sources, distinct([photo_name(source) for source in sources]), strict=True):
        photo = shrink(read_photo(source, predictor.exif), max(PHOTO_SIZE, *size))
        decoded = predictor(photo)
        save_predictions(photo, decoded, predictor.tasks, folder / "predictions", name)
        samples.append(Shown(name, torch.from_numpy(photo.copy()).permute(2, 0, 1), predictions={row: decoded}))
    if samples:
        save_legend(predictor.tasks, folder / "predictions" / "legend.png")
    return make_panels(samples, predictor.tasks, folder, stem="photo")
