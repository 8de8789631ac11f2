"""Pictures as data URIs, small enough that the page stays one file one can send."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from frugalmtl.core.checks import UserError

_SIDES = (640, 512, 400, 320, 256, 192, 128, 96)


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
        budget: characters.

    Raises:
        UserError: a picture is missing or not readable.
    """
    pictures = {path: _open(folder / path) for path in paths}
    made: dict[str, str] = {}
    for side in _SIDES:
        made = {path: _encode(picture, side, smooth=path in photographs) for path, picture in pictures.items()}
        if sum(map(len, made.values())) <= budget:
            break
    return made


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
