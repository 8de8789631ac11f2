"""Images of a report: test images and photographs with the models' predictions, and what encoders do with some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from frugalmtl.core.counting import device_of, dtype_of, evaluating
from frugalmtl.core.types import Heatmap
from frugalmtl.data import Dataset, Sample, Split, Transform
from frugalmtl.data.geometry import Fit
from frugalmtl.data.photographs import distinct, photo_name, read_photo, shrink
from frugalmtl.deployment import DeployedModel
from frugalmtl.encoders import DecidingEncoder
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.loaders import make_transform
from frugalmtl.report import ImagePictures, Panel, Results, Shown, make_panels
from frugalmtl.report.drawing.predictions import save_legend, save_picture, save_predictions

EXAMPLES = 8
"""Images that encoders are shown, fewer where the split has fewer."""
PHOTO_SIZE = 256
"""Longer side of photographs in the report."""


def test_panels(
    predictors: Mapping[str, Predictor], dataset: Dataset, runs: Mapping[str, Sequence[Run]], count: int, folder: Path
) -> list[Panel]:
    """Images spread evenly over the test split, with labels and every row's predictions."""
    first = next(iter(predictors.values()))
    config = next(iter(runs.values()))[0].config
    tasks = first.tasks
    plain = _plain(first.built, config.fit)
    samples = []
    for sample in _spread(dataset.split(config.test_split), count):
        example = plain(sample)
        image = _bytes(example.image)
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


def add_image_pictures(
    results: Results,
    loaded: Mapping[str, tuple[Built, DeployedModel]],
    dataset: Dataset,
    runs: Mapping[str, Sequence[Run]],
    folder: Path,
) -> None:
    """Let the encoder of each row's first seed show what it does with some images of the test split.

    An encoder that decides is shown at the decisions of the row's deployed model, and so at its operating point. The
    photographs are written to ``figures/`` where any row shows one.
    """
    config = next(iter(runs.values()))[0].config
    samples = _spread(dataset.split(config.test_split), EXAMPLES)
    for row in results.rows:
        built, deployed = loaded[row.name]
        encoder = built.model.encoder
        transform = make_transform(built, (), runs[row.name][0].config, training=False)
        images = torch.stack([transform(sample).image for sample in samples]).to(device_of(encoder), dtype_of(encoder))
        with evaluating(encoder), torch.no_grad():
            if isinstance(encoder, DecidingEncoder):
                shown = encoder.image_pictures(images, deployed.decide(images))
            else:
                shown = encoder.image_pictures(images)
        row.pictures.extend(picture for picture in shown if isinstance(picture, Heatmap))
        row.image_pictures = ImagePictures.of(shown)
    if any(row.image_pictures.photographs() for row in results.rows):
        plain = _plain(next(iter(loaded.values()))[0], config.fit)
        for number, sample in enumerate(samples):
            photo = _bytes(plain(sample).image).permute(1, 2, 0).numpy()
            path = save_picture(photo, folder / "figures" / f"example_{number}.png")
            results.examples.append(path.relative_to(folder).as_posix())


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


def _plain(built: Built, fit: Fit) -> Transform:
    """Samples at the network's size, in colours from 0 to 1."""
    tasks = [task for task in built.tasks if not task.auxiliary]
    return Transform(tasks, built.image_size, None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit=fit)


def _spread(split: Split, count: int) -> list[Sample]:
    """Samples spread evenly over a split."""
    count = min(count, len(split))
    return [split.load(place * (len(split) // count)) for place in range(count)]


def _bytes(image: Tensor) -> Tensor:
    """``[3, H, W]`` in [0, 1] as uint8."""
    return (image * 255).round().clamp(0, 255).to(torch.uint8)
