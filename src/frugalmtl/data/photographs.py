"""Photographs from files, and the sample photographs of scikit-image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from frugalmtl.core.checks import UserError, known
from frugalmtl.data.files import Exif, read_pixels
from frugalmtl.tasks.base import Image

SAMPLES = ("astronaut", "chelsea", "coffee", "motorcycle")
"""Photographs that scikit-image ships: ``skimage:coffee``."""
SAMPLE = "skimage:"


def photo_name(source: str | Path) -> str:
    """A photograph's name: its file's without the ending, or the sample's."""
    text = str(source)
    return text.split(":", 1)[1] if text.startswith(SAMPLE) else Path(source).stem


def check_source(source: str | Path) -> None:
    """Check that a photograph is there, without opening it.

    Raises:
        UserError: no such file or sample.
    """
    text = str(source)
    if text.startswith(SAMPLE):
        known("photograph of scikit-image:", photo_name(source), SAMPLES)
    elif Path(source).is_dir():
        raise UserError(f"{text} is a folder, not a photograph: name the files in it ({Path(text) / '*.png'})")
    elif not Path(source).is_file():
        remedy = "an option stands before '--'" if text.startswith("--") else "check the path"
        raise UserError(f"photograph {text} does not exist: {remedy}")


def read_photo(source: str | Path, exif: Exif = "apply") -> Image:
    """RGB pixels ``[H, W, 3]`` of a photograph, read as the images of a dataset are.

    Args:
        source: a file, or ``skimage:`` and the name of a sample.
        exif: see :func:`frugalmtl.data.files.images.read_pixels`.

    Raises:
        UserError: no such file, not an image, damaged, or no such sample.
    """
    if str(source).startswith(SAMPLE):
        return _sample(photo_name(source))
    return read_pixels(Path(source), exif)


def _sample(name: str) -> Image:
    from skimage import data

    known("photograph of scikit-image:", name, SAMPLES)
    # The motorcycle is a stereo pair; its left view is the photograph.
    load = getattr(data, "stereo_motorcycle" if name == "motorcycle" else name)
    pixels = load()[0] if name == "motorcycle" else load()
    return np.ascontiguousarray(pixels[..., :3], dtype=np.uint8)


def distinct(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that were there before, so that no picture overwrites another.

    >>> distinct(["coffee", "cat", "coffee"])
    ['coffee', 'cat', 'coffee-2']
    """
    result: list[str] = []
    for name in names:
        candidates = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        result.append(
            next(
                candidate
                for candidate in candidates
                if candidate not in result and (candidate == name or candidate not in names)
            )
        )
    return result


def shrink(photo: Image, longest: int) -> Image:
    """The photograph with its longer side at most ``longest`` pixels."""
    height, width = photo.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return photo
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Pillow.fromarray(photo).resize(size, Pillow.Resampling.LANCZOS), dtype=np.uint8)
