"""Photographs as 8-bit RGB: one rule for every kind of pixel, in training, checks and predictions."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from frugalmtl.data.files.decoding import Exif, bad, decoded, upright
from frugalmtl.tasks.base import Image

_EIGHT_BITS = ("RGB", "RGBA", "RGBX", "RGBa", "L", "LA", "La", "1", "P", "PA", "CMYK", "YCbCr")
_WIDE = {"I": "32-bit whole numbers", "F": "32-bit floats"}
_PAIRED = ("MPO",)
"""Formats whose further frames are no animation: cameras write previews and depth there."""


def read_image(file: Path, exif: Exif = "apply") -> Tensor:
    """An image as ``[3, H, W]`` uint8 RGB; see :func:`read_pixels`."""
    return torch.from_numpy(read_pixels(file, exif)).permute(2, 0, 1).contiguous()


def read_pixels(file: Path, exif: Exif = "apply") -> Image:
    """An image as RGB pixels ``[H, W, 3]``.

    Transparency is dropped: the colours below it are kept. 16-bit pixels keep their high byte (``value // 256``), grey
    and colour alike. Whole numbers or floats of 32 bits are refused, since no value of theirs is agreed to be white. Of
    an animation or several pages the first is read, and a warning says so once.

    Args:
        file: the image.
        exif: ``"apply"`` turns it as its EXIF orientation says, ``"ignore"`` keeps the pixels as stored. TIFF's own
            orientation and AVIF's are part of those formats and always applied.

    Raises:
        BadFileError: missing, not an image, damaged, too large, or without an agreed white.
    """
    return decoded(file, lambda picture: _pixels(picture, exif, file))


def _pixels(picture: Pillow.Image, exif: Exif, file: Path) -> Image:
    if getattr(picture, "n_frames", 1) > 1 and picture.format not in _PAIRED:
        _say_first_frame(file)
    return _rgb(upright(picture, exif), picture.format, file)


def _rgb(picture: Pillow.Image, form: str | None, file: Path) -> Image:
    if picture.mode == "RGB":
        return np.array(picture)  # without the copy that a conversion would make
    if picture.mode in _EIGHT_BITS:
        return np.array(picture.convert("RGB"))
    if picture.mode.startswith("I;16") or (picture.mode == "I" and form in ("PNG", "PPM")):
        # Pillow gives 16-bit PNM (and PNG, in its older versions) as 32-bit numbers of the same range.
        grey = (np.array(picture) >> 8).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(grey[..., None], (*grey.shape, 3)))
    kinds = {mode: f"{words}, whose white is not agreed on" for mode, words in _WIDE.items()}
    what = f"has pixels of the kind {kinds.get(picture.mode, picture.mode)}"
    raise bad(file, what, "RGB or grey of 8 or 16 bits per channel", "save it as 8-bit RGB")


_said: set[str] = set()


def _say_first_frame(file: Path) -> None:
    """Once a process: a folder of animations would fill the screen."""
    if not _said:
        _said.add(str(file))
        warnings.warn(
            f"{file} holds several frames or pages: the first is read, here and in every such file", stacklevel=6
        )
