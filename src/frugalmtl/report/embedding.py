"""Pictures as data URIs, small enough that the page stays one file one can send."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from frugalmtl.core.checks import UserError

_LARGEST, _SMALLEST = 640, 96


def data_uri(content: bytes, mime: str) -> str:
    """``content`` as a ``data:`` address."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def embed(paths: list[str], folder: Path, photographs: set[str], budget: int) -> dict[str, str]:
    """Data URIs of pictures, shrunk to the largest side at which they fit into ``budget`` together.

    Args:
        paths: relative to ``folder``.
        folder: where the results file lies.
        photographs: those of ``paths`` that are smooth (JPEG); the others keep sharp edges (PNG) unless that is
            much larger.
        budget: characters; exceeded only if even the smallest pictures do not fit.

    Raises:
        UserError: a picture is missing or not readable.
    """
    side = _LARGEST
    while True:
        # Opened again each time: all pictures of a large comparison at once would not fit into memory.
        uris = {path: _encode(_open(folder / path), side, smooth=path in photographs) for path in paths}
        size = sum(map(len, uris.values()))
        if size <= budget or side <= _SMALLEST:
            return uris
        side = max(_SMALLEST, int(side * min(0.9, math.sqrt(budget / size))))


def _open(path: Path) -> Pillow.Image:
    try:
        with Pillow.open(path) as picture:
            return picture.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"picture {path} does not exist: keep the folder 'figures' beside the results file") from None
    except (OSError, UnidentifiedImageError, Pillow.DecompressionBombError) as error:
        raise UserError(f"cannot read picture {path}: {error}") from error


def _encode(picture: Pillow.Image, side: int, *, smooth: bool) -> str:
    if max(picture.size) > side:
        factor = side / max(picture.size)
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        # Averaging would invent colours between two classes.
        method = Pillow.Resampling.LANCZOS if smooth else Pillow.Resampling.NEAREST
        picture = picture.resize(size, method)
    jpeg = io.BytesIO()
    picture.save(jpeg, format="JPEG", quality=86, optimize=True, subsampling=2 if smooth else 0)
    if smooth:
        return data_uri(jpeg.getvalue(), "image/jpeg")
    png = io.BytesIO()
    picture.save(png, format="PNG", optimize=True)
    if png.tell() <= 2 * jpeg.tell():
        return data_uri(png.getvalue(), "image/png")
    return data_uri(jpeg.getvalue(), "image/jpeg")
