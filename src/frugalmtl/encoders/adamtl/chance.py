"""Pseudo-random logits that follow from the pixels of an image and a position, without a generator."""

from __future__ import annotations

import torch
from torch import Tensor

_PRIME = 2**31 - 1
_GRID = 16
_LEVELS = 64
_LARGEST = 1023


def image_keys(image: Tensor) -> Tensor:
    """Image ``[B, 3, H, W]`` -> a key of each, int64 ``[B]`` in [0, 2^31 - 1).

    A hash of about 16 x 16 of its pixels, rounded to 1/64 of a standard deviation: sums of integers, so that the key is
    the same on every device, in every memory layout and in a batch of any size, and equal images have equal keys.
    """
    rows, columns = max(1, image.shape[2] // _GRID), max(1, image.shape[3] // _GRID)
    pixels = image[:, :, ::rows, ::columns].float()
    levels = (pixels * _LEVELS).round().clamp(-_LARGEST, _LARGEST).long().flatten(1)
    numbers = torch.arange(1, levels.shape[1] + 1, device=image.device)
    return torch.remainder((levels * _mixed(numbers)).sum(1), _PRIME)


def uniform(keys: Tensor, positions: Tensor) -> Tensor:
    """Numbers in (0, 1) that look independent of each other and of what the image shows.

    Args:
        keys: int64 ``[B]``.
        positions: int64 ``[n]``, below 2^31.

    Returns:
        ``[B, n]``, odd multiples of 2^-24.
    """
    mixed = _mixed(torch.remainder(_mixed(keys)[:, None] + _mixed(positions)[None], _PRIME))
    return (torch.div(mixed, 256, rounding_mode="floor").float() + 0.5) / 2**23


def logistic(keys: Tensor, positions: Tensor) -> Tensor:
    """Logistic noise of these numbers, ``[B, n]``: above ``-log(p / (1 - p))`` with probability p."""
    numbers = uniform(keys, positions)
    return numbers.log() - (-numbers).log1p()


def _mixed(values: Tensor) -> Tensor:
    """Rounds of squares and products modulo a prime: neighbouring values part."""
    for factor, summand in ((48271, 11), (69621, 1009), (16807, 70657)):
        values = torch.remainder(values * factor + summand, _PRIME)
        values = torch.remainder(values * values + values, _PRIME)
    return values
