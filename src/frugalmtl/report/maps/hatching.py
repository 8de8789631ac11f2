"""Hatching of pixels without a label."""

from __future__ import annotations

import numpy as np

from frugalmtl.tasks.base import Image


def hatch(picture: Image, valid: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Image:
    """``picture`` with a diagonal grey hatch where ``valid`` is False: the look of "no label here".

    Args:
        picture: ``[H, W, 3]``.
        valid: ``[H, W]``.
    """
    rows, across = np.indices(valid.shape)
    stripe = max(3, min(valid.shape) // 40)
    light = ((rows + across) // stripe) % 2 == 0
    hatched = picture.copy()
    hatched[~valid & light] = 214
    hatched[~valid & ~light] = 178
    return hatched
