"""What every format shares: the module that is written, the images it is compared on, and what is said afterwards.

Exporters are called with ``(deployed, path, image_size)`` and their config as keyword-only arguments, and return
:class:`Exported`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError, positive

CHECK_SEED = 0
Run = Callable[[Tensor], Mapping[str, Tensor]]


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


def check_request(path: str | os.PathLike[str], suffix: str, image_size: tuple[int, int]) -> Path:
    """Refuse a file name or size that cannot be right, before any work is done.

    Raises:
        UserError: wrong suffix, or a size that is not positive.
    """
    for side in image_size:
        positive("image height and width", side)
    target = Path(path)
    if target.suffix != suffix:
        raise UserError(
            f"the file name must end with {suffix}, but got {str(path)!r}: rename it or choose another format"
        )
    return target


def check_images(
    image_size: tuple[int, int], *, any_batch: bool, other_sizes: Sequence[tuple[int, int]] = ()
) -> list[Tensor]:
    """Noise of a fixed seed: one image, then more batch sizes and image sizes where the file must take them."""
    generator = torch.Generator().manual_seed(CHECK_SEED)
    shapes = [(batch, *image_size) for batch in ((1, 2, 3) if any_batch else (1,))]
    shapes += [(1, *size) for size in other_sizes]
    return [torch.randn(batch, 3, height, width, generator=generator) for batch, height, width in shapes]


def check_outputs(expected: Run, got: Run, images: Sequence[Tensor], tolerance: float, what: str) -> float:
    """Largest absolute difference of two modules' outputs over ``images``.

    The difference may be ``tolerance``, or ``tolerance`` times the largest output where that is above 1: float32 keeps
    seven digits, not seven places.

    Raises:
        UserError: outputs differ by more, in name or in shape.
    """
    largest = 0.0
    with torch.inference_mode():
        for image in images:
            wanted, given = expected(image), got(image)
            if list(wanted) != list(given):
                raise UserError(f"{what} gives {list(given)} instead of {list(wanted)}: it was not written")
            for task, value in wanted.items():
                if value.shape != given[task].shape:
                    raise UserError(
                        f"{what} gives {task!r} of shape {list(given[task].shape)} instead of {list(value.shape)} "
                        f"for an image {list(image.shape)}: it was not written"
                    )
                difference = float((value - given[task]).abs().max())
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
