"""The base of export formats: what is written, on which images it is checked, and what is reported."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.files import atomic_write
from frugalmtl.evaluation.cost import decides
from frugalmtl.export._decoded import DecodedModel, measurable
from frugalmtl.export._record import CHANNELS_FIRST, ModelFacts, model_record

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
        record: what the network takes and gives, as it stands in the file; empty where it was not stated.
    """

    path: str
    bytes: int
    max_abs_difference: float
    outputs: tuple[str, ...]
    shape: tuple[str, ...]
    record: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Plain(nn.Module):
    """Copy of a module to export, on the CPU in float32 and eval mode; the original is not touched."""

    def __init__(self, deployed: nn.Module) -> None:
        super().__init__()
        self.deployed = copy.deepcopy(deployed).to("cpu", torch.float32).eval()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image ``[B, 3, H, W]`` (or bytes) -> ``{task: prediction}``."""
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
        layout: order of the axes of the images.
        record: JSON of what the network takes and gives; empty where it was not stated.
    """

    plain: Plain
    names: tuple[str, ...]
    images: Sequence[Tensor]
    config: Mapping[str, Any]
    layout: str = CHANNELS_FIRST
    record: str = ""


class Exporter:
    """A file format for deployed modules; a file is published only after its outputs were compared with the module's.

    Constructors take the format's options as keyword-only arguments.

    Attributes:
        suffix: how the names of its files end.
        product: the words for such a file in messages.
        tolerance: see :func:`check_outputs`.
        dynamic: the axes of the image that the file takes at any length, out of ``"NHW"``.
        batch: number of images that it takes where that is fixed.
        size: height and width to export at; None for those of the training.
        size_divisor: of heights and widths where these are dynamic.
    """

    suffix: ClassVar[str]
    product: ClassVar[str]
    tolerance: float
    dynamic: str = ""
    batch: int = 1
    size: tuple[int, int] | None = None
    size_divisor: int = 1

    def __call__(
        self,
        deployed: nn.Module,
        path: str | os.PathLike[str],
        image_size: tuple[int, int],
        config: Mapping[str, Any] | None = None,
        examples: Tensor | None = None,
        facts: ModelFacts | None = None,
    ) -> Exported:
        """Write a file, read it again and compare.

        Args:
            deployed: image ``[B, 3, H, W]`` -> ``{task: raw prediction}``; not changed.
            path: file ending with :attr:`suffix`.
            image_size: height and width; :attr:`size` goes before it.
            config: the config that the module was trained with, for formats that can store it.
            examples: normalised images ``[B, 3, H, W]`` of ``image_size`` on which file and module are compared; noise
                if not given, which is refused for a module that chooses for each image what it runs.
            facts: what is stored in the file of how it is used; nothing if not given.

        Raises:
            UserError: wrong suffix, a size that is not positive or that the network does not take, noise where images
                are needed, a module that the format cannot hold, or other outputs. No file is written then.
        """
        size = self.size or image_size
        self._check_size(size, facts)
        target = Path(path)
        if target.suffix != self.suffix:
            raise UserError(
                f"the file name must end with {self.suffix}, but got {str(path)!r}: rename it or choose another format"
            )
        decoded = DecodedModel(deployed, facts) if facts is not None and facts.decoded else None
        self.check_module(deployed if decoded is None else decoded)
        images = self.check_images(_examples(deployed, image_size, size, examples))
        names = self._names(deployed, images[0])
        layout = CHANNELS_FIRST if facts is None else facts.layout
        record = {} if facts is None else self._record(facts, target.name, names, size)
        plain = Plain(deployed if decoded is None else decoded)
        if isinstance(plain.deployed, DecodedModel):
            images = [plain.deployed.bytes_of(image) for image in images]
        with atomic_write(target) as temporary:
            text = json.dumps(record) if record else ""
            forward = self.write(ExportInput(plain, names, images, config or {}, layout, text), temporary)
            expected: Forward = plain
            if isinstance(plain.deployed, DecodedModel):
                expected, forward = (measurable(each, plain.deployed) for each in (plain, forward))
            difference = check_outputs(expected, forward, images, self.tolerance, self.product)
        lengths = {"N": str(self.batch), "C": "3", "H": str(size[0]), "W": str(size[1])}
        shape = tuple(axis if axis in self.dynamic else lengths[axis] for axis in layout)
        return Exported(str(target), target.stat().st_size, difference, names, shape, record)

    def _check_size(self, size: tuple[int, int], facts: ModelFacts | None) -> None:
        for side in size:
            positive("image height and width", side)
        positive("batch", self.batch)
        divisor = 1 if facts is None else facts.size_divisor
        if any(side % divisor for side in size):
            fitting = " x ".join(str(max(divisor, round(side / divisor) * divisor)) for side in size)
            raise UserError(
                f"this network takes multiples of {divisor} as height and width, but got {size[0]} x {size[1]}: for "
                f"example {fitting}"
            )

    def _record(self, facts: ModelFacts, file: str, names: tuple[str, ...], size: tuple[int, int]) -> dict[str, Any]:
        batch = None if "N" in self.dynamic else self.batch
        checked = replace(facts, size_divisor=math.lcm(facts.size_divisor, self.size_divisor))
        return model_record(checked, file, names, size, self.dynamic, batch)

    def _names(self, deployed: nn.Module, image: Tensor) -> tuple[str, ...]:
        """The tasks, in the order of the module's outputs.

        Raises:
            UserError: the module takes no images of that size, where it is not the one of its training.
        """
        try:
            with torch.inference_mode():
                return tuple(Plain(deployed)(image))
        except (RuntimeError, AssertionError) as error:
            if self.size is None:
                raise
            raise UserError(
                f"this network takes no images of {self.size[0]} x {self.size[1]} ({one_line(error)}): leave out the "
                "size for that of its training"
            ) from error

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
    examples: Tensor, *, batch: int | None = 1, other_sizes: Sequence[tuple[int, int]] = ()
) -> list[Tensor]:
    """Every image in a batch of the file's, then in batches of two and three and at other sizes where it takes them.

    Args:
        examples: images ``[B, 3, H, W]``; repeated where a batch needs more.
        batch: number of images that the file takes; None for any.
        other_sizes: heights and widths, to which the first batch is resized.
    """
    count = len(examples)

    def taken(start: int, number: int) -> Tensor:
        return examples[[place % count for place in range(start, start + number)]]

    batches = [taken(start, batch or 1) for start in range(0, count, batch or 1)]
    if batch is None:
        batches += [taken(0, number) for number in (2, 3)]
    first = batches[0]
    resized = (functional.interpolate(first, size, mode="bilinear", align_corners=False) for size in other_sizes)
    return [*batches, *resized]


def _examples(
    deployed: nn.Module, image_size: tuple[int, int], size: tuple[int, int], examples: Tensor | None
) -> Tensor:
    """Images ``[B, 3, H, W]`` of ``size`` on the CPU; see :meth:`Exporter.__call__`.

    Raises:
        UserError: there are none and the module needs some, or they have another size than ``image_size``.
    """
    if examples is None:
        return _noise(deployed, size)
    if tuple(examples.shape[1:]) != (3, *image_size):
        raise UserError(
            f"images to check must be [B, 3, {image_size[0]}, {image_size[1]}], but got {list(examples.shape)}"
        )
    plain = examples.to("cpu", torch.float32)
    if size == image_size:
        return plain
    return functional.interpolate(plain, size, mode="bilinear", align_corners=False, antialias=True)


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
