"""Photographs beneath pictures: files of the report's folder, opened once, and enlarged for panels."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from frugalmtl.report.embedding import data_uri, inside, opened

Photo = NDArray[np.uint8]
"""``[H, W, 3]``, RGB."""

_SIDE = 192
"""Pixels of a panel's longer side: sharp at its size on the page, and small enough for hundreds of panels."""


class ExamplePhotos:
    """The photographs that pictures of encoders name by number.

    Args:
        folder: of the results file.
        paths: relative to ``folder``, by number.
    """

    def __init__(self, folder: Path = Path(), paths: Sequence[str] = ()) -> None:
        self._folder, self._paths = folder, list(paths)
        self._photos: dict[int, Photo] = {}

    def __getitem__(self, number: int) -> Photo:
        """A photograph, its longer side at the size of a panel.

        Raises:
            UserError: its file is missing, not readable, or outside of the folder.
        """
        if number not in self._photos:
            picture = opened(inside(self._folder, self._paths[number]))
            factor = _SIDE / max(picture.size)
            size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
            self._photos[number] = np.asarray(picture.resize(size, Pillow.Resampling.LANCZOS))
        return self._photos[number]


def enlarged(mask: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """A mask ``[h, w]`` as ``[height, width]`` by the nearest value, so that its edges stay sharp."""
    rows, columns = (np.arange(size) * count // size for size, count in zip((height, width), mask.shape, strict=True))
    large: NDArray[np.float64] = mask[rows][:, columns]
    return large


def show(axes: Any, photo: Photo) -> None:
    """A photograph on axes without ticks."""
    axes.imshow(photo, interpolation="none")
    axes.set_axis_off()


def lightened(svg: bytes) -> bytes:
    """An SVG figure whose photographs are JPEG, a quarter of the size of the PNG that matplotlib embeds."""

    def jpeg(match: re.Match[bytes]) -> bytes:
        buffer = io.BytesIO()
        photo = Pillow.open(io.BytesIO(base64.b64decode(match[1]))).convert("RGB")
        photo.save(buffer, format="JPEG", quality=88, optimize=True, subsampling=0)
        return data_uri(buffer.getvalue(), "image/jpeg").encode()

    return re.sub(rb"data:image/png;base64,([A-Za-z0-9+/=\s]+)", jpeg, svg)


def grid_height(photos: Sequence[Photo], width: float) -> float:
    """Inches that the tallest of some photographs needs at a width."""
    tallest: float = max(photo.shape[0] / photo.shape[1] for photo in photos)
    return width * tallest
