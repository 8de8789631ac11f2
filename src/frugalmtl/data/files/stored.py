"""Stored labels: the numbers or colours of a file, before an encoding says what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from frugalmtl.data.files.decoding import Exif, bad, decoded, read_array, upright
from frugalmtl.data.problems import BadFileError
from frugalmtl.tasks.base import Image

_AS_STORED = ("L", "I", "F", "RGB", "RGBA", "LA")
_BLACK_AND_WHITE = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)


@dataclass(frozen=True)
class StoredLabel:
    """The content of one label file.

    Attributes:
        file: the file, for messages.
        values: ``[H, W]`` or ``[H, W, C]`` of an image (indices of its palette, 0 and 1 of a 1-bit image); an array as
            it is.
        palette: ``[K, 3]`` uint8 colours of the indices, of palette and 1-bit images.
        picture: an image, not an array.
        lossy: JPEG, whose values are near those that were saved.
    """

    file: Path
    values: npt.NDArray[Any]
    palette: Image | None = None
    picture: bool = False
    lossy: bool = False

    def refuse(self, what: str, expected: str, remedy: str) -> BadFileError:
        """The error of this file."""
        if self.lossy:
            remedy += " (JPEG changes the values of labels: save them as PNG)"
        return bad(self.file, what, expected, remedy)

    def numbers(self) -> npt.NDArray[Any]:
        """``[H, W]``: one number per pixel, as the image looks: greys of a palette, 0 and 255 of 1 bit, and of colours
        that are all grey the grey.

        Raises:
            BadFileError: several channels or colours.
        """
        if self.palette is None:
            return self._flat(self._grey())
        used = self.palette[np.flatnonzero(np.bincount(self.values.ravel(), minlength=len(self.palette)))]
        if (used != used[:, :1]).any():
            listed = ", ".join(f"'{hexadecimal(colour)}'" for colour in used[:4]) + (", ..." if len(used) > 4 else "")
            raise self.refuse(
                f"is coloured ({listed})",
                "greys",
                "say what each colour means with the encoding 'colours' and its 'map'",
            )
        greys: npt.NDArray[Any] = self.palette[:, 0][self.values]
        return greys

    def indices(self) -> npt.NDArray[Any]:
        """``[H, W]``: one number per pixel, as stored: of a palette the indices.

        Raises:
            BadFileError: several channels, be they equal: ids are saved in one.
        """
        return self._flat(self.values)

    def colours(self) -> Image:
        """``[H, W, 3]`` uint8: the colour of each pixel, as the image looks.

        Raises:
            BadFileError: not an image, or more than 8 bits per channel.
        """
        if self.palette is not None:
            looked_up: Image = self.palette[self.values]
            return looked_up
        if not self.picture or self.values.dtype != np.uint8:
            raise self.refuse("holds no colours", "an image of 8 bits per channel", "save it as RGB")
        if self.values.ndim == 2 or self.values.shape[-1] == 2:
            grey = self.values if self.values.ndim == 2 else self.values[..., 0]
            return np.ascontiguousarray(np.broadcast_to(grey[..., None], (*grey.shape, 3)))
        return self.values[..., :3]

    def channels(self, count: int) -> npt.NDArray[Any]:
        """``[count, H, W]`` from ``[H, W, count]`` or ``[count, H, W]``; of one channel, :meth:`numbers`.

        Raises:
            BadFileError: another number of channels.
        """
        if count == 1:
            return self.numbers()[None]
        values = self.values if self.palette is None else self.palette[self.values]
        values = values[..., :3] if self.picture and values.ndim == 3 else values
        if values.ndim == 3 and values.shape[-1] == count and 0 not in values.shape:
            return values.transpose(2, 0, 1)
        if values.ndim == 3 and values.shape[0] == count and 0 not in values.shape:
            return values
        wanted = f"{count} channels"
        raise self.refuse(f"has the shape {list(self.values.shape)}", wanted, f"save it with {wanted}")

    def _grey(self) -> npt.NDArray[Any]:
        """The values, without alpha and without channels that repeat the first."""
        if not self.picture or self.values.ndim == 2:
            return self.values
        colours = self.values[..., : 3 if self.values.shape[-1] > 2 else 1]
        return colours[..., 0] if (colours == colours[..., :1]).all() else self.values

    def _flat(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
            values = values[..., 0] if values.shape[-1] == 1 else values[0]
        if values.ndim != 2 or 0 in values.shape:
            remedy = "save it with a single channel, or say what its colours mean with the encoding 'colours'"
            raise self.refuse(f"has the shape {list(values.shape)}", "one channel [H, W]", remedy)
        return values


def hexadecimal(colour: npt.NDArray[Any]) -> str:
    """A colour as ``#rrggbb``."""
    return "#" + bytes(colour.tolist()).hex()


def read_stored(file: Path, exif: Exif = "apply") -> StoredLabel:
    """The content of a label file: an image, or an array (``.npy``).

    Args:
        file: the file.
        exif: as for images (:func:`frugalmtl.data.files.images.read_pixels`).

    Raises:
        BadFileError: missing or damaged.
    """
    if file.suffix.lower() == ".npy":
        return StoredLabel(file, read_array(file))
    return decoded(file, lambda picture: _stored(picture, exif, file))


def _stored(picture: Pillow.Image, exif: Exif, file: Path) -> StoredLabel:
    lossy = picture.format in ("JPEG", "MPO")
    turned = upright(picture, exif)
    if turned.mode == "1":
        return StoredLabel(file, np.array(turned).astype(np.uint8), _BLACK_AND_WHITE, picture=True)
    if turned.mode == "P":
        palette = np.zeros((256, 3), np.uint8)
        listed = np.array(turned.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        palette[: len(listed)] = listed
        return StoredLabel(file, np.array(turned), palette, picture=True)
    plain = turned if turned.mode in _AS_STORED or turned.mode.startswith("I;16") else turned.convert("RGB")
    return StoredLabel(file, np.array(plain), picture=True, lossy=lossy)
