"""Pictures as data URIs, small enough that the page stays one file one can send."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

from PIL import Image as Pillow

from frugalmtl.core.checks import UserError, shown
from frugalmtl.data.files.decoding import decoded

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
        UserError: a picture is missing, not readable, or outside of ``folder``, links followed: results may come from
            somebody else, and the page is sent on.
    """
    files = {path: inside(folder, path) for path in paths}
    side = _LARGEST
    while True:
        # Opened again each time: all pictures of a large comparison at once would not fit into memory.
        uris = {path: _encode(opened(file), side, smooth=path in photographs) for path, file in files.items()}
        size = sum(map(len, uris.values()))
        if size <= budget or side <= _SMALLEST:
            return uris
        side = max(_SMALLEST, int(side * min(0.9, math.sqrt(budget / size))))


def inside(folder: Path, path: str) -> Path:
    """The file of a picture.

    Raises:
        UserError: it is missing, or outside of ``folder``, links followed.
    """
    try:
        file = (folder / path).resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte
        raise UserError(f"picture {shown(path)} is no path of a file: write the report again") from None
    if not file.is_relative_to(folder.resolve()):
        raise UserError(f"picture {shown(path)} lies outside of {folder}, the folder of the report: copy it there")
    if not file.exists():
        raise UserError(f"picture {file} does not exist: keep the folder 'figures' beside the results file")
    return file


def opened(file: Path) -> Pillow.Image:
    """A picture as RGB.

    Raises:
        UserError: it is not readable.
    """
    return decoded(file, lambda picture: picture.convert("RGB"))


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
