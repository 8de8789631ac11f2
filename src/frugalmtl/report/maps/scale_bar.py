"""Bar of a colour scale below a picture: its colours, and the values at its ends and between."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from frugalmtl.tasks.base import ColourScale, Image

_SMALLEST, _LARGEST = 9, 28
"""Pixels of the numbers."""
_GAP = 3
"""Pixels between picture and bar: both are dark where it is far."""


def with_bar(picture: Image, scale: ColourScale) -> Image:
    """``picture`` ``[H, W, 3]`` with the bar of its scale below, from its last value (left) to its first."""
    width = picture.shape[1]
    letter = min(_LARGEST, max(_SMALLEST, width // 20))
    bar = max(4, letter // 2)
    strip = Pillow.new("RGB", (width, _GAP + bar + letter + letter // 2 + 2), "white")
    pen = ImageDraw.Draw(strip)
    values = torch.tensor([scale.value_at(1 - (column + 0.5) / width) for column in range(width)])
    colours = np.repeat(scale.draw(values[None, None]), bar, axis=0)
    font = ImageFont.load_default(letter)
    words = [f"{value:.3g} {scale.unit}" for value in map(scale.value_at, (1.0, 0.5, 0.0))]
    lengths = [pen.textlength(text, font=font) for text in words]
    for text, place, anchor in zip(words, (1, width / 2, width - 1), ("la", "ma", "ra"), strict=True):
        if anchor != "ma" or sum(lengths) + 2 * letter < width:
            pen.text((place, _GAP + bar + letter // 4), text, font=font, fill="#202020", anchor=anchor)
    below = np.asarray(strip).copy()
    below[_GAP : _GAP + bar] = colours
    return np.concatenate([picture, below])
