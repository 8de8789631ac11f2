"""A few images of its data that a run keeps, on which its deployed model and files of it are checked."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write
from frugalmtl.data import Dataset
from frugalmtl.engine.checkpoints.tensors import parse_tensors
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.streams.loaders import make_transform
from frugalmtl.experiment.runs.streams.parts import SPLIT

FILE = "example_images.safetensors"
KEY = "images"
COUNT = 4
_HEADER = 1 << 16
"""Bytes that the file may hold beside its images."""


def example_images(built: Built, config: Experiment, dataset: Dataset) -> Tensor:
    """The first images of the training split as the network takes them, but for normalisation: uint8 ``[N, 3, H, W]``.

    N is up to 4; they come in stored order and are not augmented.

    That split is the only one that a training is sure to have, and nothing is learned or reported of the images.

    Args:
        built: gives the size.
        config: how images are brought to it.
        dataset: with the training split ready.

    Raises:
        UserError: an image cannot be read, or there is none.
    """
    samples = dataset.split(SPLIT)
    transform = make_transform(built, (), config, training=False)
    places = islice((place for place in range(len(samples)) if samples.has_image(place)), COUNT)
    images = [transform(samples.load(place)).image for place in places]
    if not images:
        raise UserError(f"split {SPLIT!r} has no image to check the deployed model on")
    mean, std = _colours(built)
    return ((torch.stack(images) * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def keep_images(folder: Path, images: Tensor) -> None:
    """Write images ``[N, 3, H, W]`` into the folder of a run.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_write(folder / FILE) as temporary:
        temporary.write_bytes(save_tensors({KEY: images.contiguous()}))


def kept_images(folder: Path, image_size: tuple[int, int]) -> Tensor | None:
    """The images that a run keeps, uint8 ``[N, 3, H, W]``; None if it keeps none.

    Args:
        folder: of the run.
        image_size: height and width that its network sees.

    Raises:
        UserError: the file is damaged, or holds something else.
    """
    path = folder / FILE
    remedy = "delete it; it is written again from the run's data where they are needed"
    most = COUNT * 3 * image_size[0] * image_size[1] + _HEADER
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    try:
        tensors = parse_tensors(path, data)
    except UserError as error:
        raise UserError(f"{error}: {remedy}") from None
    images = tensors.get(KEY)
    fits = (
        images is not None
        and images.dtype == torch.uint8
        and images.ndim == 4
        and tuple(images.shape[1:]) == (3, *image_size)
        and 1 <= len(images) <= COUNT
    )
    if images is None or not fits:
        shapes = ", ".join(f"{name} {list(value.shape)} {value.dtype}" for name, value in tensors.items())
        expected = f"up to {COUNT} images [N, 3, {image_size[0]}, {image_size[1]}] of torch.uint8"
        raise UserError(f"{path} must hold {expected}, but holds {shapes or 'nothing'}: {remedy}")
    return images


def normalised(images: Tensor, built: Built) -> Tensor:
    """Images uint8 ``[N, 3, H, W]`` as the network takes them."""
    mean, std = _colours(built)
    return (images / 255 - mean) / std


def _colours(built: Built) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the colours, ``[1, 3, 1, 1]``."""
    return torch.tensor(built.backbone.mean).view(1, 3, 1, 1), torch.tensor(built.backbone.std).view(1, 3, 1, 1)
