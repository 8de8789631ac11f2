"""Noise in place of images, for modules whose cost does not depend on the image."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.counting import is_data_dependent


def decides(module: nn.Module) -> bool:
    """Whether what runs in a module depends on the values of the image: whether any part says ``data_dependent``."""
    return any(map(is_data_dependent, module.modules()))


def refuse_noise(module: nn.Module) -> None:
    """Check that the cost of a module does not depend on the image.

    Raises:
        UserError: it does.
    """
    if decides(module):
        raise UserError(
            "this model chooses for each image what it runs, so its cost is counted and timed on images of its data, "
            "not on noise: give it some"
        )


def noise_images(modules: Iterable[nn.Module], image_size: tuple[int, int], batch: int = 1) -> Tensor:
    """Images of noise ``[batch, 3, H, W]``, the same in every call.

    Args:
        modules: what is measured on them.
        image_size: height and width.
        batch: number of images.

    Raises:
        UserError: the cost of a module depends on the image.
    """
    for module in modules:
        refuse_noise(module)
    return torch.rand(batch, 3, *image_size, generator=torch.Generator().manual_seed(0))
