"""ONNX files, for onnxruntime and the compilers that read them."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.cost import storage
from frugalmtl.export._record import KEY
from frugalmtl.export.base import Exporter, ExportInput, Forward, Outputs, check_batches, one_line

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
SIZE_DEPENDENT = (AvgPool2dSame, Conv2dSame, MaxPool2dSame)
"""Layers that compute their padding from the image size: with an unknown size their tracing does not end."""
_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='(?P<name>[\w.]+)'")
_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<number>\d+), in \w+\n\s*(?P<code>\S.*)')
LARGEST = 2**31 - 2**24
"""Bytes of weights that fit a file: a protobuf message ends at 2 GiB, and the graph needs some of it."""


class Onnx(Exporter):
    """ONNX: one input ``image``, one output per task under its name, weights inside the file.

    The file is run by onnxruntime (CPU) and compared with the module before it is published: on one image, on other
    batch sizes unless ``batch`` fixes it, on other image sizes if ``dynamic_size``. The image size is fixed by default,
    because not every backbone can be traced without knowing it: ResNets can; EfficientNets with computed padding
    (``tf_efficientnet_...``) and Swin Transformers cannot, and are refused. So are more than 2 GiB of weights.

    Args:
        batch: take this number of images at a time; any number if not given.
        size: height and width; those of the training if not given.
        dynamic_size: take any multiple of ``size_divisor`` as height and width.
        size_divisor: see ``dynamic_size``.
        tolerance: see :func:`frugalmtl.export.base.check_outputs`.
    """

    suffix = ".onnx"
    product = "the ONNX file"

    def __init__(
        self,
        *,
        batch: int | None = None,
        size: tuple[int, int] | None = None,
        dynamic_size: bool = False,
        size_divisor: int = 32,
        tolerance: float = 1e-4,
    ) -> None:
        self.dynamic = "N" * (batch is None) + "HW" * dynamic_size
        self.batch, self.size = 1 if batch is None else batch, size
        self.size_divisor = size_divisor
        self.tolerance = tolerance

    def check_module(self, deployed: nn.Module) -> None:
        """Refuse missing packages, too many weights, and layers that need a fixed size where it is not."""
        missing = [package for package in PACKAGES if find_spec(package) is None]
        if missing:
            raise UserError(f'writing ONNX needs {", ".join(missing)}: run pip install "frugalmtl[onnx]"')
        if storage(deployed)[1] > LARGEST:
            raise UserError("an ONNX file cannot hold more than 2 GiB of weights: use the format torch_export")
        if "H" in self.dynamic and any(isinstance(part, SIZE_DEPENDENT) for part in deployed.modules()):
            raise UserError("this model computes its padding from the image size: write ONNX with a fixed size")

    def check_images(self, examples: Tensor) -> list[Tensor]:
        """Every batch and image size that the file must take."""
        height, width = examples.shape[-2:]
        other = [(height + self.size_divisor, width + 2 * self.size_divisor)] if "H" in self.dynamic else []
        return check_batches(examples, batch=None if "N" in self.dynamic else self.batch, other_sizes=other)

    def write(self, source: ExportInput, path: Path) -> Forward:
        """Trace and save; the file runs in onnxruntime."""
        # A batch of one would be taken for fixed.
        image = source.images[0]
        sample = torch.zeros(2 if "N" in self.dynamic else self.batch, *image.shape[1:], dtype=image.dtype)
        axes = {source.layout.index(axis): torch.export.Dim.AUTO for axis in self.dynamic}
        metadata = {KEY: source.record} if source.record else {}
        _write(Outputs(source.plain, source.names), sample, path, source.names, axes, metadata)
        return _runner(path, source.names)


def _write(
    module: nn.Module,
    sample: Tensor,
    path: Path,
    names: tuple[str, ...],
    axes: dict[int, Any],
    metadata: dict[str, str],
) -> None:
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (sample,),
                input_names=["image"],
                output_names=list(names),
                dynamic_shapes={"image": axes} if axes else None,
                dynamo=True,
                optimize=False,
                verbose=False,
            )
            if program is None:
                raise RuntimeError("the exporter gave no graph")
            _simplify(program)
            program.model.metadata_props.update(metadata)
            program.save(str(path), external_data=False)
    except Exception as error:  # tracing fails in many ways; each means that this module has no fixed graph
        advice = "; with a fixed image size it may be (dynamic_size: false)" if len(axes) > 1 else ""
        raise UserError(f"this model cannot be written as ONNX: {_obstacle(error)}{advice}") from error


def _simplify(program: torch.onnx.ONNXProgram) -> None:
    """Constants in place of what computes them, no node that nobody reads, and no lines of code with nodes; in place.

    The exporter's optimisation also matches some fifty patterns at every node, which takes two thirds of the time of a
    graph of thousands of nodes; onnxruntime rewrites graphs itself when it loads them. Every node bears the lines of
    code that it was traced from, with their paths on this machine: up to a quarter of the file of a small network.
    """
    from onnxscript import optimizer
    from onnxscript.ir.passes import common

    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    common.ClearMetadataAndDocStringPass()(program.model)


def _obstacle(error: BaseException) -> str:
    """What stands in the way: the operator that ONNX lacks, the line that branches on values, or the first cause."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    text = "\n".join(map(str, causes))
    if operator := _MISSING.search(text):
        return f"it has no form of the operator {operator['name']}"
    if "data-dependent" in text and (line := _LINE.search(text)):
        return f"{Path(line['file']).name}, line {line['number']}, branches on a value: {line['code']}"
    return one_line(causes[1] if len(causes) > 1 else error)


def _runner(path: Path, names: tuple[str, ...]) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a failing run comes back as an exception; do not print it as well
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> dict[str, Tensor]:
        try:
            outputs = session.run(list(names), {"image": image.numpy()})
        except Exception as error:
            raise UserError(
                f"the ONNX file does not take an image {list(image.shape)} ({one_line(error)}): it was not written; "
                "export with a fixed batch or image size"
            ) from error
        return {name: torch.from_numpy(output) for name, output in zip(names, outputs, strict=True)}

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks on both streams, in warnings and in logs; what matters of it comes back as an error."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        held_back = io.StringIO()
        with (
            contextlib.redirect_stdout(held_back),
            contextlib.redirect_stderr(held_back),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
