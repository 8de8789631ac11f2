"""PyTorch's own exported program (``.pt2``)."""

from __future__ import annotations

import os
import warnings

import torch
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write
from frugalmtl.export.base import Exported, Plain, check_images, check_outputs, check_request, one_line


def torch_export(
    deployed: nn.Module,
    path: str | os.PathLike[str],
    image_size: tuple[int, int],
    *,
    dynamic_batch: bool = True,
    tolerance: float = 1e-5,
) -> Exported:
    """``torch.export`` program: runs with ``torch.export.load(path).module()(image)`` without this library.

    Image size fixed. The file is loaded again and compared with the module before it is published.

    Args:
        deployed: image ``[B, 3, H, W]`` -> ``{task: raw prediction}``.
        path: file ending with ``.pt2``.
        image_size: height and width.
        dynamic_batch: take any number of images; else one.
        tolerance: see :func:`frugalmtl.export.base.check_outputs`.

    Raises:
        UserError: the module cannot be traced (its path depends on values), or the file's outputs differ.
    """
    target = check_request(path, ".pt2", image_size)
    plain = Plain(deployed)
    images = check_images(image_size, any_batch=dynamic_batch)
    batch = torch.export.Dim.AUTO if dynamic_batch else torch.export.Dim.STATIC
    try:
        # A sample of one image would fix the batch at one.
        program = torch.export.export(plain, (images[-1],), dynamic_shapes={"image": {0: batch}})
    except Exception as error:  # tracing fails in many ways; each means that this module has no fixed graph
        raise UserError(f"this model cannot be written as a fixed graph: {one_line(error)}") from error
    with atomic_write(target) as temporary:
        with temporary.open("wb") as file, warnings.catch_warnings():
            # It warns of weights in a channels-last layout off the CPU; ours are on it, and the file is checked below.
            warnings.filterwarnings("ignore", message="No complete tensor found")
            torch.export.save(program, file)
        with temporary.open("rb") as file:
            loaded = torch.export.load(file).module()
        difference = check_outputs(plain, loaded, images, tolerance, "the exported program")
        outputs = tuple(plain(images[0]))
    shape = ("N" if dynamic_batch else "1", "3", *map(str, image_size))
    return Exported(str(target), target.stat().st_size, difference, outputs, shape)
