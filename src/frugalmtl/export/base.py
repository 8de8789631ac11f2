"""The base of export formats: what is written, on which images it is checked, and what is reported."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.files import atomic_write
from frugalmtl.evaluation.cost import decides

CHECK_SEED = 0
Forward = Callable[[Tensor], Mapping[str, Tensor]]
"""Image ``[B, 3, H, W]`` -> ``{task: raw prediction}``."""


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked.

    Attributes:
        path: the file.
        bytes: its size.
        max_abs_difference: largest difference between its outputs and the module's, over all tasks and check images.
        outputs: names of its outputs: the tasks.
        shape: the image it takes; a letter where any size is taken: ``("N", "3", "480", "640")``.
    """

    path: str
    bytes: int
    max_abs_difference: float
    outputs: tuple[str, ...]
    shape: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Plain(nn.Module):
    """Copy of a deployed module on the CPU in float32 and eval mode; the original is not touched."""

    def __init__(self, deployed: nn.Module) -> None:
        super().__init__()
        self.deployed = copy.deepcopy(deployed).to("cpu", torch.float32).eval()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image ``[B, 3, H, W]`` -> ``{task: raw prediction}``."""
        outputs: dict[str, Tensor] = self.deployed(image)
        return outputs


class Outputs(nn.Module):
    """The same with the outputs as a tuple in the order of ``names``, for formats that know no dictionaries."""

    def __init__(self, plain: Plain, names: Sequence[str]) -> None:
        super().__init__()
        self.plain = plain
        self.names = tuple(names)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image ``[B, 3, H, W]`` -> raw predictions."""
        outputs = self.plain(image)
        return tuple(outputs[name] for name in self.names)


@dataclass(frozen=True)
class ExportInput:
    """Module, names, example images and config that a file is written from.

    Attributes:
        plain: the module.
        names: the tasks, in the order of its outputs.
        images: the images on which file and module are compared.
        config: the config that the module was trained with.
    """

    plain: Plain
    names: tuple[str, ...]
    images: Sequence[Tensor]
    config: Mapping[str, Any]


class Exporter:
    """A file format for deployed modules; a file is published only after its outputs were compared with the module's.

    Constructors take the format's options as keyword-only arguments.

    Attributes:
        suffix: how the names of its files end.
        product: the words for such a file in messages.
        tolerance: see :func:`check_outputs`.
        dynamic: the axes of the image that the file takes at any length, out of ``"NHW"``.
    """

    suffix: ClassVar[str]
    product: ClassVar[str]
    tolerance: float
    dynamic: str = ""

    def __call__(
        self,
        deployed: nn.Module,
        path: str | os.PathLike[str],
        image_size: tuple[int, int],
        config: Mapping[str, Any] | None = None,
        examples: Tensor | None = None,
    ) -> Exported:
        """Write a file, read it again and compare.

        Args:
            deployed: image ``[B, 3, H, W]`` -> ``{task: raw prediction}``; not changed.
            path: file ending with :attr:`suffix`.
            image_size: height and width.
            config: the config that the module was trained with, for formats that can store it.
            examples: normalised images ``[B, 3, H, W]`` of that size on which file and module are compared; noise if
                not given, which is refused for a module that chooses for each image what it runs.

        Raises:
            UserError: wrong suffix, a size that is not positive, noise where images are needed, a module that the
                format cannot hold, or other outputs. No file is written then.
        """
        for side in image_size:
            positive("image height and width", side)
        target = Path(path)
        if target.suffix != self.suffix:
            raise UserError(
                f"the file name must end with {self.suffix}, but got {str(path)!r}: rename it or choose another format"
            )
        self.check_module(deployed)
        if examples is None:
            examples = _noise(deployed, image_size)
        elif tuple(examples.shape[1:]) != (3, *image_size):
            raise UserError(
                f"images to check must be [B, 3, {image_size[0]}, {image_size[1]}], but got {list(examples.shape)}"
            )
        plain = Plain(deployed)
        images = self.check_images(examples.to("cpu", torch.float32))
        with torch.inference_mode():
            names = tuple(plain(images[0]))
        with atomic_write(target) as temporary:
            forward = self.write(ExportInput(plain, names, images, config or {}), temporary)
            difference = check_outputs(plain, forward, images, self.tolerance, self.product)
        lengths = zip("NCHW", (1, 3, *image_size), strict=True)
        shape = tuple(axis if axis in self.dynamic else str(length) for axis, length in lengths)
        return Exported(str(target), target.stat().st_size, difference, names, shape)

    def write(self, source: ExportInput, path: Path) -> Forward:
        """Write the file, and return a function that runs what was written.

        Raises:
            UserError: the module cannot be written in this format.
        """
        raise NotImplementedError

    def check_module(self, deployed: nn.Module) -> None:
        """Refuse what the format cannot hold, before any work is done.

        Raises:
            UserError: packages are missing, or the module does not fit.
        """

    def check_images(self, examples: Tensor) -> list[Tensor]:
        """The batches on which file and module are compared, of images ``[B, 3, H, W]``."""
        return check_batches(examples)


def check_batches(
    examples: Tensor, *, any_batch: bool = False, other_sizes: Sequence[tuple[int, int]] = ()
) -> list[Tensor]:
    """Every image alone, then in batches of two and three and at other sizes where the file must take them.

    Args:
        examples: images ``[B, 3, H, W]``; repeated where a batch needs more.
        any_batch: take batches of several.
        other_sizes: heights and widths, to which the first image is resized.
    """
    batches = [examples[place : place + 1] for place in range(len(examples))]
    if any_batch:
        count = len(examples)
        batches += [examples[[place % count for place in range(size)]] for size in (2, 3)]
    resized = (functional.interpolate(examples[:1], size, mode="bilinear", align_corners=False) for size in other_sizes)
    return [*batches, *resized]


def _noise(deployed: nn.Module, image_size: tuple[int, int]) -> Tensor:
    """Three images of noise of a fixed seed.

    Raises:
        UserError: the module chooses for each image what it runs.
    """
    if decides(deployed):
        raise UserError(
            "this model chooses for each image what it runs, so a file of it is checked on images of its data, not on "
            "noise: give it some"
        )
    return torch.randn(3, 3, *image_size, generator=torch.Generator().manual_seed(CHECK_SEED))


def check_outputs(expected: Forward, actual: Forward, images: Sequence[Tensor], tolerance: float, what: str) -> float:
    """Largest absolute difference of two modules' outputs over ``images``.

    The difference may be ``tolerance``, or ``tolerance`` times the largest output where that is above 1: float32 keeps
    seven digits, not seven places.

    Raises:
        UserError: outputs differ by more, in name or in shape.
    """
    largest = 0.0
    with torch.inference_mode():
        for image in images:
            wanted, outputs = expected(image), actual(image)
            if list(wanted) != list(outputs):
                raise UserError(f"{what} gives {list(outputs)} instead of {list(wanted)}: it was not written")
            for task, value in wanted.items():
                if value.shape != outputs[task].shape:
                    raise UserError(
                        f"{what} gives {task!r} of shape {list(outputs[task].shape)} instead of {list(value.shape)} "
                        f"for an image {list(image.shape)}: it was not written"
                    )
                difference = float((value - outputs[task]).abs().max())
                if not difference <= tolerance * max(1.0, float(value.abs().max())):
                    raise UserError(
                        f"{what} differs from the model by {difference:.2g} in {task!r}, more than {tolerance:.2g}: "
                        "it was not written"
                    )
                largest = max(largest, difference)
    return largest


def one_line(error: BaseException) -> str:
    """First line of an error's message, with its kind."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0][:300]}"
