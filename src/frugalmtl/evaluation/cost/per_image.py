"""Cost of an image: counted on shapes, or on images of the data where they decide what runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.evaluation.cost.counting import count, distribution, storage
from frugalmtl.evaluation.cost.noise import decides, refuse_noise


@dataclass(frozen=True)
class CostPerImage:
    """What a module does for one image, and what it stores.

    Attributes:
        macs: multiply-adds, as in :class:`~frugalmtl.evaluation.cost.Counts`; the mean over the images.
        macs_p5: 5th percentile over the images.
        macs_p95: 95th percentile.
        flops: 2 x ``macs``.
        products: those among ``macs`` that are products inside attention.
        params: numbers in parameters.
        bytes: bytes of parameters and buffers.
        images: how many it was counted on; 0 where shapes alone decide.
    """

    macs: float
    macs_p5: float
    macs_p95: float
    flops: float
    products: float
    params: int
    bytes: int
    images: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def cost_per_image(
    module: nn.Module, image_size: tuple[int, int], images: Sequence[Tensor] | None = None
) -> CostPerImage:
    """Count a module on shapes, or, if it chooses by the image what it runs, on every one of the images.

    A module that does not say so, but cannot be counted without values, is counted on the images too where there are
    any.

    Args:
        module: ``image -> ...``.
        image_size: height and width.
        images: normalised, ``[3, H, W]`` each; not touched where shapes decide.

    Raises:
        UserError: a module that chooses, and no image.
    """
    if not decides(module):
        counts = count(module, image_size)
        macs = counts.macs
        if counts.counted_on == "meta" or not images:
            return CostPerImage(macs, macs, macs, counts.flops, counts.products, counts.params, counts.bytes)
    if not images:
        refuse_noise(module)
    spread = distribution(module, images or ())
    params, stored = storage(module)
    return CostPerImage(
        spread.mean, spread.p5, spread.p95, 2 * spread.mean, spread.products, params, stored, spread.images
    )


def batches_of(images: Sequence[Tensor], size: int, count: int) -> list[Tensor]:
    """Batches of ``size`` consecutive images, evenly spread over all of them.

    Of fewer images than one batch takes, one batch of them all.

    Args:
        images: ``[3, H, W]`` each; those of other batches are not touched.
        size: images in a batch.
        count: batches wanted; fewer come where the images do not suffice.

    >>> [batch[:, 0, 0, 0].tolist() for batch in batches_of(torch.arange(20.0).view(20, 1, 1, 1), 3, 2)]
    [[0.0, 1.0, 2.0], [15.0, 16.0, 17.0]]
    """
    size = min(size, len(images))
    whole = len(images) // size
    wanted = min(count, whole)
    starts = [size * round(number * (whole - 1) / max(1, wanted - 1)) for number in range(wanted)]
    return [torch.stack([images[index] for index in range(start, start + size)]) for start in starts]
