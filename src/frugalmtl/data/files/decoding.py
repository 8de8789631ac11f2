"""Decoders of files behind one door: whatever one of them raises is that file's error."""

from __future__ import annotations

import functools
import logging
import stat
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from frugalmtl.core.checks import known, shown
from frugalmtl.core.terminal import visible
from frugalmtl.data.problems import BadFileError, Problem

Result = TypeVar("Result")
Exif = Literal["apply", "ignore"]
EXIF: tuple[str, ...] = get_args(Exif)

MAX_PIXELS = 178_956_970
"""Pixels of the largest image that is decoded: 13,377 x 13,377, or 0.5 GB as RGB (Pillow's own limit)."""

_COMMON = ("PNG", "JPEG", "BMP", "GIF", "PPM")
_OTHERS = ("TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "DIB", "QOI", "PCX", "SGI", "DDS", "ICO", "TGA")
"""Formats of pixels. Those that Pillow hands to another program (EPS to Ghostscript) or to the system (WMF) are not
among them, whatever a file's name says; TGA, which has no mark of its own, comes last."""

# Damage that is read over is no news, and damage that is not is raised: nothing else of Pillow's belongs on the screen.
logging.getLogger("PIL").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", module=r"PIL\.")


def exif_rule(value: object) -> Exif:
    """The key ``exif`` of a dataset file.

    Raises:
        UserError: neither ``"apply"`` nor ``"ignore"``.
    """
    return "ignore" if known("exif:", value if isinstance(value, str) else shown(value), EXIF) == "ignore" else "apply"


def bad(file: Path, what: str, expected: str, remedy: str) -> BadFileError:
    """The error of one file."""
    return BadFileError(Problem(visible(file), what, expected, remedy))


def decoded(file: Path, use: Callable[[Image.Image], Result]) -> Result:
    """What ``use`` makes of an image file's first frame, whose pixels are loaded.

    Raises:
        BadFileError: no such file, not an image, larger than :data:`MAX_PIXELS`, or damaged: any exception of a
            decoder, since each has its own.
    """
    _must_be_a_file(file)
    try:
        with _identified(file) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            picture.load()
            return use(picture)
    except (BadFileError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise bad(file, "is not an image", "PNG, JPEG or another image format", "replace it") from None
    except Image.DecompressionBombError:
        limit = f"at most {MAX_PIXELS / 1e6:.0f} million pixels"
        raise bad(file, "is too large to be decoded", limit, "cut it into parts, or shrink it") from None
    except Exception as error:
        raise _damaged(file, error, "a whole image") from None


def read_array(file: Path) -> npt.NDArray[Any]:
    """The numbers of a ``.npy`` file.

    Raises:
        BadFileError: no such file, shorter than its header says, pickled objects, or no numbers.
    """
    _must_be_a_file(file)
    try:
        # A map is refused where the file holds less than its header claims: no memory is taken for the claim.
        with np.errstate(over="ignore"):
            mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(mapped, np.ndarray) and mapped.dtype.kind in "biuf":
            values: npt.NDArray[Any] = np.load(file, allow_pickle=False)
            return values
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(file, error, "a whole .npy array") from None
    raise bad(file, "does not hold numbers", "an array of numbers", "write it again")


def upright(picture: Image.Image, exif: Exif) -> Image.Image:
    """The image as a viewer shows it, where ``exif`` is ``"apply"``."""
    orientation = 1 if exif == "ignore" else orientation_of(picture.info.get("exif", b""))
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def orientation_of(block: object) -> int:
    """The orientation 1..8 in an EXIF block; 1 (upright) if the block is damaged or says nothing sensible.

    Pillow's own reader warns, raises or takes the first of several values, by the kind of damage.
    """
    if not isinstance(block, bytes):
        return 1
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4], "")
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                whole = order and (kind, count) == (_SHORT, 1) and 1 <= value <= 8
                return int(value) if whole else 1
    except struct.error:
        pass  # cut off
    return 1


_ORIENTATION, _SHORT = 0x0112, 3
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _must_be_a_file(file: Path) -> None:
    """A pipe or a device would be waited for without end."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        raise bad(file, "does not exist", "a file", "add it or leave the id out") from None
    except (OSError, ValueError) as error:
        raise _damaged(file, error, "a file") from None
    if not stat.S_ISREG(mode):
        raise bad(file, "is a folder or a device", "a file", "correct the path")


def _identified(file: Path) -> Image.Image:
    try:
        return Image.open(file, formats=_COMMON)
    except UnidentifiedImageError:
        return Image.open(file, formats=_rarer())


@functools.cache
def _rarer() -> tuple[str, ...]:
    Image.init()  # a quarter of a second, which who reads PNG and JPEG alone does not wait
    return tuple(name for name in (*_COMMON, *_OTHERS) if name in Image.OPEN)


@functools.cache
def readable_endings() -> frozenset[str]:
    """Endings, in small letters and without the dot, of the images and arrays that are read."""
    formats = _rarer()
    images = {ending.lower().lstrip(".") for ending, name in Image.EXTENSION.items() if name in formats}
    return frozenset(images | {"npy"})


def _damaged(file: Path, error: Exception, expected: str) -> BadFileError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return bad(file, f"cannot be read ({reason})", expected, "copy or write it again")
