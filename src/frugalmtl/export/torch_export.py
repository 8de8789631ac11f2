"""``torch.export`` programs (``.pt2``)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.export._record import KEY
from frugalmtl.export.base import Exporter, ExportInput, Forward, check_batches, one_line


class TorchExport(Exporter):
    """``torch.export`` program: runs with ``torch.export.load(path).module()(image)`` without this library.

    Image size fixed. What the network takes and gives stands in it as an extra file (``torch.export.load(path,
    extra_files={"frugalmtl.model": ""})``). The file is loaded again and compared with the module before it is
    published. A module whose path depends on values cannot be traced and is refused.

    Args:
        batch: take this number of images at a time; any number if not given.
        size: height and width; those of the training if not given.
        tolerance: see :func:`frugalmtl.export.base.check_outputs`.
    """

    suffix = ".pt2"
    product = "the exported program"

    def __init__(
        self, *, batch: int | None = None, size: tuple[int, int] | None = None, tolerance: float = 1e-5
    ) -> None:
        self.dynamic = "N" * (batch is None)
        self.batch, self.size = 1 if batch is None else batch, size
        self.tolerance = tolerance

    def check_images(self, examples: Tensor) -> list[Tensor]:
        """Batches of several sizes if the batch is dynamic."""
        return check_batches(examples, batch=None if self.dynamic else self.batch)

    def write(self, source: ExportInput, path: Path) -> Forward:
        """Trace, save, and load again."""
        batch = torch.export.Dim.AUTO if self.dynamic else torch.export.Dim.STATIC
        try:
            # A sample of one image would fix the batch at one.
            program = torch.export.export(source.plain, (source.images[-1],), dynamic_shapes={"image": {0: batch}})
        except Exception as error:  # tracing fails in many ways; each means that this module has no fixed graph
            raise UserError(f"this model cannot be written as a fixed graph: {one_line(error)}") from error
        with path.open("wb") as file, warnings.catch_warnings():
            # It warns of weights in a channels-last layout off the CPU; ours are on it, and the file is checked below.
            warnings.filterwarnings("ignore", message="No complete tensor found")
            torch.export.save(program, file, extra_files={KEY: source.record} if source.record else None)
        with path.open("rb") as file:
            return _runner(torch.export.load(file).module())


def _runner(program: Forward) -> Forward:
    def run(image: Tensor) -> Mapping[str, Tensor]:
        try:
            return program(image)
        except Exception as error:  # a trace that fixed an axis at the length of its sample says so by an assertion
            raise UserError(
                f"the exported program does not take an image {list(image.shape)} ({one_line(error)}): it was not "
                "written; export with a fixed batch size"
            ) from error

    return run
