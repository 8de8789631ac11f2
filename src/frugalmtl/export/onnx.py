"""ONNX, for onnxruntime and the compilers that read it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write
from frugalmtl.evaluation.cost import storage
from frugalmtl.export.base import (
    Exported,
    Outputs,
    Plain,
    check_images,
    check_outputs,
    check_request,
    one_line,
)

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
SIZE_DEPENDENT = (AvgPool2dSame, Conv2dSame, MaxPool2dSame)
"""Layers that compute their padding from the image size: tracing them without knowing it does not end in any time one
would wait for."""

LARGEST = 2**31 - 2**24
"""Bytes of weights that fit a file: a protobuf message ends at 2 GiB, and the graph needs some of it."""


def onnx(
    deployed: nn.Module,
    path: str | os.PathLike[str],
    image_size: tuple[int, int],
    *,
    dynamic_batch: bool = True,
    dynamic_size: bool = False,
    size_divisor: int = 32,
    tolerance: float = 1e-4,
) -> Exported:
    """ONNX: one input ``image``, one output per task under its name, weights inside the file.

    The file is run by onnxruntime (CPU) and compared with the module before it is published: on one image, on other
    batch sizes if ``dynamic_batch``, on other image sizes if ``dynamic_size``. The image size is fixed unless asked
    otherwise, because not every backbone can be traced without knowing it: ResNets can; EfficientNets with computed
    padding (``tf_efficientnet_...``) and Swin Transformers cannot, and are refused.

    Args:
        deployed: image ``[B, 3, H, W]`` -> ``{task: raw prediction}``.
        path: file ending with ``.onnx``.
        image_size: height and width.
        dynamic_batch: take any number of images; else one.
        dynamic_size: take any multiple of ``size_divisor`` as height and width.
        size_divisor: see ``dynamic_size``.
        tolerance: see :func:`frugalmtl.export.base.check_outputs`.

    Raises:
        UserError: packages missing, more than 2 GiB of weights, the module cannot be traced, or other outputs.
    """
    target = check_request(path, ".onnx", image_size)
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise UserError(f'writing ONNX needs {", ".join(missing)}: run pip install "frugalmtl[onnx]"')
    if storage(deployed)[1] > LARGEST:
        raise UserError("an ONNX file cannot hold more than 2 GiB of weights: use the format torch_export")
    if dynamic_size and any(isinstance(part, SIZE_DEPENDENT) for part in deployed.modules()):
        raise UserError("this model computes its padding from the image size: write ONNX with a fixed size")
    plain = Plain(deployed)
    height, width = image_size
    sizes = [(height + size_divisor, width + 2 * size_divisor)] if dynamic_size else []
    images = check_images(image_size, any_batch=dynamic_batch, other_sizes=sizes)
    with torch.inference_mode():
        names = tuple(plain(images[0]))
    sample = torch.zeros(2 if dynamic_batch else 1, 3, height, width)  # a batch of one would be taken for fixed
    axes: dict[int, Any] = {0: torch.export.Dim.AUTO} if dynamic_batch else {}
    axes.update({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO} if dynamic_size else {})
    with atomic_write(target) as temporary:
        _write(Outputs(plain, names), sample, temporary, names, axes)
        run = _runner(temporary, names)
        difference = check_outputs(plain, run, images, tolerance, "the ONNX file")
    shape = ("N" if dynamic_batch else "1", "3", *(("H", "W") if dynamic_size else (str(height), str(width))))
    return Exported(str(target), target.stat().st_size, difference, names, shape)


def _write(module: nn.Module, sample: Tensor, path: Path, names: tuple[str, ...], axes: dict[int, Any]) -> None:
    try:
        with _quiet():
            torch.onnx.export(
                module,
                (sample,),
                str(path),
                input_names=["image"],
                output_names=list(names),
                dynamic_shapes={"image": axes} if axes else None,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # tracing fails in many ways; each means that this module has no fixed graph
        raise UserError(f"this model cannot be written as ONNX: {one_line(error.__cause__ or error)}") from error


def _runner(path: Path, names: tuple[str, ...]) -> Callable[[Tensor], dict[str, Tensor]]:
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
    """The exporter talks on stdout, in warnings and in logs; what matters of it comes back as an error."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
