"""Contact sheet: images with their labels, a row each, with names and the meaning of the colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from frugalmtl.core.terminal import visible
from frugalmtl.report.maps.hatching import hatch
from frugalmtl.report.maps.scale_bar import with_bar
from frugalmtl.tasks.base import Image, Task

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_LETTER, _GAP = 15, 10
_INK, _QUIET = "#202020", "#606060"
_LONGEST_NAME = 60


@dataclass
class LabelledImage:
    """One image with its labels.

    Attributes:
        name: its id.
        image: ``[3, H, W]`` uint8 RGB.
        labels: ``{task: label}`` of the image's size; a task without one is missing.
        valid: ``{task: bool}`` ``[H, W]``, ``[K]`` or ``[]``: where the labels count.
    """

    name: str
    image: Tensor
    labels: dict[str, Tensor] = field(default_factory=dict)
    valid: dict[str, Tensor] = field(default_factory=dict)


def draw_contact_sheet(samples: Sequence[LabelledImage], tasks: Sequence[Task]) -> Image:
    """Draw a row per image: the image, and a cell per task; below, what the colours mean.

    Pixels without a label are hatched as in the report, and so is the cell of a label that is missing. Labels without a
    map are words.
    """
    font = ImageFont.load_default(_LETTER)
    heads = ["image", *(task.name for task in tasks)]
    width = max(sample.image.shape[-1] for sample in samples)
    width = max(width, *(round(font.getlength(head)) for head in heads))
    across = _GAP + len(heads) * (width + _GAP)
    parts = [_line([(_GAP + place * (width + _GAP), head) for place, head in enumerate(heads)], across, font, _INK)]
    for sample in samples:
        name = visible(sample.name)
        short = name if len(name) <= _LONGEST_NAME else f"…{name[-_LONGEST_NAME:]}"
        parts += [_line([(_GAP, short)], across, font, _QUIET), _row(sample, tasks, width, across, font)]
    parts += list(_legend(tasks, across, font))
    return np.concatenate([_blank(_GAP, across), *parts, _blank(_GAP, across)])


def _row(sample: LabelledImage, tasks: Sequence[Task], width: int, across: int, font: Font) -> Image:
    cells = [sample.image.permute(1, 2, 0).numpy()]
    cells += [_cell(sample, task, font) for task in tasks]
    row = _blank(max(map(len, cells)) + _GAP, across)
    for place, cell in enumerate(cells):
        left = _GAP + place * (width + _GAP)
        row[: len(cell), left : left + cell.shape[1]] = cell
    return row


def _cell(sample: LabelledImage, task: Task, font: Font) -> Image:
    height, width = sample.image.shape[-2:]
    label = sample.labels.get(task.name)
    valid = sample.valid.get(task.name)
    if label is None or valid is None or not valid.any():
        nothing = hatch(_blank(height, width), np.zeros((height, width), bool))
        return _written(nothing, ["no label"], font, boxed=True)
    if not task.dense:
        unknown = set() if valid.ndim == 0 else {task.classes[place] for place in torch.nonzero(~valid)[:, 0].tolist()}
        words = [word for word in task.describe(label) if word not in unknown] or ["none of them"]
        return _written(_blank(height, width), [*words, *(f"{word}: no label" for word in sorted(unknown))], font)
    if task.colour_scale is None:
        return hatch(task.draw(label), valid.numpy())
    scale = task.colour_scale([torch.where(valid, label, 0.0)])
    return with_bar(hatch(scale.draw(label), valid.numpy()), scale)


def _legend(tasks: Sequence[Task], across: int, font: Font) -> Iterator[Image]:
    """A line or more per task: chips of colours with their classes, or how its pictures are read."""
    for task in tasks:
        if not (task.legend or task.reads):
            continue
        pieces = [(f"{task.name}:", ""), *task.legend.items()] if task.legend else [(f"{task.name}: {task.reads}", "")]
        yield _wrapped(pieces, across, font)
    yield _wrapped([("hatched: no label there", "")], across, font)


def _wrapped(pieces: Sequence[tuple[str, str]], across: int, font: Font) -> Image:
    x, y, places = _GAP, 0, []
    for words, colour in pieces:
        length = round(font.getlength(words)) + (2 * _LETTER if colour else _LETTER)
        if x > _GAP and x + length > across - _GAP:
            x, y = _GAP + 2 * _LETTER, y + _LETTER + 8
        places.append((x, y, words, colour))
        x += length
    strip = Pillow.new("RGB", (across, y + _LETTER + 8), "white")
    pen = ImageDraw.Draw(strip)
    for x, y, words, colour in places:
        if colour:
            pen.rectangle((x, y + 3, x + _LETTER - 3, y + _LETTER), fill=colour, outline=_QUIET)
        pen.text((x + (_LETTER + 2) * bool(colour), y), words, font=font, fill=_INK)
    return np.asarray(strip)


def _line(texts: Sequence[tuple[int, str]], across: int, font: Font, ink: str) -> Image:
    strip = Pillow.new("RGB", (across, _LETTER + 8), "white")
    pen = ImageDraw.Draw(strip)
    for left, text in texts:
        pen.text((left, 0), text, font=font, fill=ink)
    return np.asarray(strip)


def _written(picture: Image, words: Sequence[str], font: Font, *, boxed: bool = False) -> Image:
    """Words on a picture, a line each; ``boxed`` puts them in the middle, on white."""
    canvas = Pillow.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for line, text in enumerate(words):
        if boxed:
            middle = (canvas.width / 2, canvas.height / 2)
            left, top, right, bottom = pen.textbbox(middle, text, font=font, anchor="mm")
            pen.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill="white")
            pen.text(middle, text, font=font, fill=_INK, anchor="mm")
        else:
            pen.text((2, line * (_LETTER + 4)), text, font=font, fill=_INK)
    return np.asarray(canvas)


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)
