"""Photographs from files, and the sample photographs of scikit-image."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from frugalmtl.core.checks import UserError, known
from frugalmtl.data.files import Exif, read_pixels
from frugalmtl.tasks.base import Image

SAMPLES = ("astronaut", "chelsea", "coffee", "motorcycle")
"""Photographs that scikit-image ships: ``skimage:coffee``."""
SAMPLE = "skimage:"
LIST = "-"
"""Stands for a list of photographs on standard input."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif", ".avif", ".jp2", ".qoi")
"""Endings of the images of a folder, in any case."""


def photo_name(source: str | Path) -> str:
    """A photograph's name: its file's without the ending, or the sample's."""
    text = str(source)
    return text.split(":", 1)[1] if text.startswith(SAMPLE) else Path(source).stem


def photographs(sources: Sequence[str | Path], lines: Iterable[str] = ()) -> list[str]:
    """The photographs that sources stand for, without opening one.

    Args:
        sources: files, ``skimage:coffee``, folders (the images in them, by name), patterns (``frames/*.jpg``, ``**``
            for any folders), and ``-`` for a list.
        lines: what ``-`` stands for, a source per line.

    Raises:
        UserError: no such file or sample, a folder or list without an image, or a pattern that matches none.
    """
    result: list[str] = []
    for source in sources:
        if str(source) == LIST:
            listed = [line.rstrip("\r\n") for line in lines]
            result += photographs([line for line in listed if line and line != LIST])
        else:
            result += _photographs_of(str(source))
    if not result:
        raise UserError("the list on standard input names no photograph: write one per line")
    return result


def _photographs_of(source: str) -> list[str]:
    path = Path(source)
    if path.is_dir():
        images = sorted(str(one) for one in path.iterdir() if one.is_file() and one.suffix.lower() in ENDINGS)
        if not images:
            raise UserError(f"folder {source} holds no image ({', '.join(ENDINGS)}): check the path")
        return images
    if glob.has_magic(source) and not path.exists():
        matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute patterns)
        files = [one for one in matches if Path(one).is_file()]
        if not files:
            raise UserError(f"no photograph matches {source}: check the pattern")
        return files
    check_source(source)
    return [source]


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
