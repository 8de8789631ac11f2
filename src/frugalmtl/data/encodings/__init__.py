"""Encodings of labels in files, and the reading of images and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.schema import read
from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.tasks import Task

_PLAIN_IMAGES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr")
_ARRAYS = (".npy",)


class Encoding(Protocol):
    """Stored array -> label, in the shape and units that the task states."""

    def decode(self, stored: npt.NDArray[Any], task: Task, file: Path) -> Tensor:
        """The label; raises :class:`BadFileError` where the stored array cannot be one."""
        ...


def read_image(file: Path) -> Tensor:
    """A photograph as ``[3, H, W]`` uint8 RGB, pixels as stored (no turn by EXIF tags).

    Raises:
        BadFileError: missing, not an image, cut short, more than 8 bits per channel.
    """
    with_pixels = _open(file, lambda picture: picture if picture.mode in _PLAIN_IMAGES else picture.mode)
    if isinstance(with_pixels, str):
        raise _bad(file, f"image has pixels of the kind {with_pixels}", "8 bits per channel", "save it as 8-bit RGB")
    pixels = np.array(with_pixels.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def orientation(file: Path) -> int:
    """The EXIF orientation of an image; 1 is upright."""
    with Image.open(file) as picture:
        return int(picture.getexif().get(0x0112, 1))


def read_label(file: Path, task: Task, encoding: Encoding, *, finite: bool = False) -> Tensor:
    """The label of one file; NaN stands for "no label".

    Args:
        file: the file.
        task: what the label is for.
        encoding: how it is stored.
        finite: refuse stored values that are not finite, instead of taking them as "no label".

    Raises:
        BadFileError: missing, unreadable, or not what the encoding expects.
    """
    if file.suffix in _ARRAYS:
        try:
            stored = np.load(file, allow_pickle=False)
        except FileNotFoundError:
            raise _bad(file, "does not exist", "a file", "add it or leave the id out") from None
        except (OSError, ValueError, EOFError) as error:
            raise _bad(file, f"cannot be read ({_line(error)})", "a whole .npy array", "write it again") from None
        if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "biuf":
            raise _bad(file, "does not hold numbers", "an array of numbers", "write it again")
    else:
        stored = _open(file, np.array)
    if finite and stored.dtype.kind == "f" and not np.isfinite(stored).all():
        share = 100 * (1 - np.isfinite(stored).mean())
        what = f"holds values that are not finite ({share:.2g} % of them)"
        raise _bad(file, what, "finite numbers", "write 0 where there is no label")
    return encoding.decode(stored, task, file)


def _open(file: Path, read: Callable[[Image.Image], Any]) -> Any:
    try:
        with Image.open(file) as picture:
            picture.load()
            return read(picture)
    except FileNotFoundError:
        raise _bad(file, "does not exist", "a file", "add it or leave the id out") from None
    except UnidentifiedImageError:
        raise _bad(file, "is not an image", "PNG, JPEG or another image format", "replace it") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise _bad(file, f"cannot be read ({_line(error)})", "a whole image", "copy or write it again") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _bad(file: Path, what: str, expected: str, remedy: str) -> BadFileError:
    return BadFileError(Problem(str(file), what, expected, remedy))


def _flat(stored: npt.NDArray[Any], file: Path) -> npt.NDArray[Any]:
    """``[H, W]``, also from ``[H, W, 1]`` and ``[1, H, W]``."""
    squeezed = stored[..., 0] if stored.ndim == 3 and stored.shape[-1] == 1 else stored
    squeezed = squeezed[0] if squeezed.ndim == 3 and squeezed.shape[0] == 1 else squeezed
    if squeezed.ndim != 2 or 0 in squeezed.shape:
        raise _bad(file, f"has the shape {list(stored.shape)}", "one channel [H, W]", "save it with a single channel")
    return squeezed


def _continuous(values: npt.NDArray[Any], task: Task, file: Path) -> Tensor:
    """``[C, H, W]`` float from ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``."""
    if task.label_channels == 1:
        return torch.from_numpy(_flat(values, file).astype(np.float32))[None]
    if values.ndim == 3 and values.shape[-1] == task.label_channels:
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32))
    if values.ndim == 3 and values.shape[0] == task.label_channels:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    wanted = f"{task.label_channels} channels"
    raise _bad(file, f"has the shape {list(values.shape)}", wanted, f"save it with {wanted}")


@dataclass(frozen=True)
class Index:
    """Class maps: the pixel (of a PNG or array) is the class.

    Attributes:
        first: stored value of class 0; class k is stored as ``first + k``.
        void: stored values that mean "no label", beside the task's own ignore value.
    """

    first: int = 0
    void: list[int] = field(default_factory=list)

    def decode(self, stored: npt.NDArray[Any], task: Task, file: Path) -> Tensor:
        """``[H, W]`` long."""
        values = _flat(stored, file).astype(np.int64)
        ignore = 255 if task.ignore is None else task.ignore
        blank = np.isin(values, [*self.void, ignore])
        classes = np.where(blank, ignore, values - self.first)
        wrong = np.unique(values[~blank & ((classes < 0) | (classes >= task.channels))])
        if wrong.size:
            listed = ", ".join(str(value) for value in wrong[:8]) + (", ..." if wrong.size > 8 else "")
            last = self.first + task.channels - 1
            expected = (
                f"{self.first}..{last}, or {', '.join(str(value) for value in [*self.void, ignore])} for no label"
            )
            raise _bad(
                file,
                f"holds class {listed}",
                expected,
                "correct the map, 'classes', or the encoding's 'first' and 'void'",
            )
        return torch.from_numpy(classes)


@dataclass(frozen=True)
class Scaled:
    """Continuous maps in integers: value = stored * scale + offset, e.g. 16-bit depth in millimetres with scale 0.001.

    Attributes:
        scale: factor.
        offset: added after the factor.
        invalid: stored values that mean "no label".
    """

    scale: float
    offset: float = 0.0
    invalid: list[int] = field(default_factory=list)

    def decode(self, stored: npt.NDArray[Any], task: Task, file: Path) -> Tensor:
        """``[C, H, W]`` float, NaN for "no label"."""
        values = stored.astype(np.float64) * self.scale + self.offset
        values = np.where(np.isin(stored, self.invalid), np.nan, values) if self.invalid else values
        return _continuous(values, task, file)


@dataclass(frozen=True)
class Binary:
    """Yes/no maps: 1 where the stored value lies above a threshold.

    Attributes:
        above: threshold in stored units.
        invalid: stored values that mean "no label".
    """

    above: float = 127.0
    invalid: list[int] = field(default_factory=list)

    def decode(self, stored: npt.NDArray[Any], task: Task, file: Path) -> Tensor:
        """``[C, H, W]`` float of 0 and 1, NaN for "no label"."""
        values = (stored > self.above).astype(np.float32)
        return _continuous(np.where(np.isin(stored, self.invalid), np.nan, values), task, file)


@dataclass(frozen=True)
class Vectors:
    """Unit vectors in the channels of an 8-bit image: n = 2 v / 255 - 1; vectors shorter than 0.1 mean "no label".

    Attributes:
        signs: factor of each axis (1 or -1), for files whose axes point elsewhere than right, up, towards the camera.
    """

    signs: tuple[int, int, int] = (1, 1, 1)

    def decode(self, stored: npt.NDArray[Any], task: Task, file: Path) -> Tensor:
        """``[3, H, W]`` float, as stored (not yet normalised)."""
        values = _continuous(stored, task, file) * (2.0 / 255.0) - 1.0
        values = values * torch.tensor(self.signs, dtype=torch.float32)[:, None, None]
        return values * (values.square().sum(dim=0) > 0.01)


@dataclass(frozen=True)
class Values:
    """Arrays (.npy) of the label's own values: metres, unit vectors, 0 and 1."""

    def decode(self, stored: npt.NDArray[Any], task: Task, file: Path) -> Tensor:
        """``[C, H, W]`` float."""
        return _continuous(stored, task, file)


ENCODINGS: dict[str, type[Any]] = {
    "index": Index,
    "scaled": Scaled,
    "binary": Binary,
    "vectors": Vectors,
    "values": Values,
}
"""Encodings by their name in a dataset file."""


def encoding(section: Mapping[str, Any] | str | None, task: Task, pattern: str) -> Encoding:
    """The encoding of a task's files: as stated, or where only one makes sense, that one.

    Raises:
        UserError: unknown name or argument, or one that does not suit the task.
    """
    what = f"encoding of task {task.name!r}"
    if section is None:
        if task.label_type == "classes":
            section = "index"
        elif Path(pattern).suffix in _ARRAYS:
            section = "values"
        else:
            raise UserError(
                f"task {task.name!r} needs an 'encoding' (scaled, binary or vectors): {pattern} could mean any"
            )
    arguments = {"name": section} if isinstance(section, str) else dict(section)
    name = known(what, str(arguments.pop("name", None)), ENCODINGS)
    if (name == "index") != (task.label_type == "classes"):
        raise UserError(f"{what} cannot be {name!r}: 'index' is for maps of classes, and only it is")
    chosen: Encoding = read(ENCODINGS[name], arguments, f"{what}, {name!r}")
    return chosen
