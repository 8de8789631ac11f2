"""Overlays: photographs on which everything that is not computed is covered, a panel per layer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.patches import Patch

from frugalmtl.core.types import Overlay
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.photographs import ExamplePhotos, Photo, enlarged, grid_height, lightened, show
from frugalmtl.report.formatting import NOT_MEASURED, finite, percent

COVER = ((30, 35, 45), (60, 68, 84))
"""Colours of the stripes over what is not computed: the same in both themes, as photographs are, and unlike anything in
these."""
_OPACITY = 0.86
"""What is covered can still be made out."""
_STRIPES = (214, 178)
"""Greys of a hatch where there is nothing to show."""
_WIDE, _NARROW = 7, 3
"""Most panels side by side."""
_LETTERS = 15.5
"""Letters of a caption per inch."""


@dataclass(frozen=True)
class _Tile:
    """A panel: what is shown, its name, and what is computed."""

    photo: Photo
    name: str
    share: str = ""


def overlay_words(picture: Overlay) -> str:
    """The share that is computed, by caption: mean over the images."""
    shares: dict[str, list[float]] = {}
    for name, mask in zip(picture.panels, picture.masks, strict=True):
        shares.setdefault(name, []).append(computed(mask))
    facts = [f"{name} {percent(_mean(values))}" for name, values in shares.items()]
    count = len(set(picture.images))
    images = "one image" if count == 1 else f"mean over {count} images"
    return f"{picture.title}. Computed, {images}: {', '.join(facts)}."


def overlay(label: str, picture: Overlay, photographs: ExamplePhotos, look: Look | None = None) -> bytes:
    """Every image first as it is, then once per panel, covered where nothing is computed.

    Args:
        label: the model that the picture belongs to.
        picture: masks and the images beneath.
        photographs: the images by number.
        look: how it is drawn.
    """
    look = look or Look()
    rows = _rows(picture, photographs, _NARROW if look.narrow else _WIDE)
    across = max(map(len, rows))
    width = 3.5 if look.narrow else 10.4 if across > 3 else 5.1
    side = width / across - 0.1
    words = [[_caption(tile, round(_LETTERS * side)) for tile in row] for row in rows]
    lines = max(len(each.splitlines()) for row in words for each in row)
    title = f"{label}: {picture.title}"
    photo = grid_height([tile.photo for row in rows for tile in row], side)
    pitch, top = photo + 0.15 * lines + 0.12, canvas.title_room(title, width, look)
    with canvas.style(look, many_names=True):
        height = top + pitch * len(rows) + 0.3
        figure = canvas.new_figure((width, height))
        figure.set_layout_engine("none")  # every size is known; to find it for a hundred panels would take seconds
        for row, (tiles, texts) in enumerate(zip(rows, words, strict=True)):
            for column, (tile, text) in enumerate(zip(tiles, texts, strict=True)):
                corner = (0.05 + column * (side + 0.1)) / width, 1 - (top + (row + 1) * pitch) / height
                axes = figure.add_axes((*corner, side / width, photo / height), anchor="NW")
                show(axes, tile.photo)
                axes.set_title(text, loc="left", fontsize=8, pad=3)
        canvas.file_title(figure, title, look)
        dark, light = (f"#{bytes(colour).hex()}" for colour in COVER)
        patches = [Patch(facecolor=dark, edgecolor=light, hatch="//////", linewidth=0, label="covered: not computed")]
        figure.legend(handles=patches, loc="lower left", borderaxespad=0.2, frameon=False, fontsize=8)
        content = canvas.picture(figure, look)
        return lightened(content) if look.form == "svg" else content


def computed(mask: Sequence[Sequence[float]]) -> float:
    """The share that is computed: mean over the grid; NaN where nothing is known."""
    return _mean([value for row in mask for value in row])


def covered(photo: Photo, mask: Sequence[Sequence[float]]) -> Photo:
    """A photograph ``[H, W, 3]`` under a mask ``[h, w]``: as it is at 1, covered at 0, hatched where it is NaN."""
    height, width = photo.shape[:2]
    share = enlarged(np.asarray(mask, dtype=float), height, width)
    cover = _OPACITY * (1 - np.nan_to_num(share, nan=1.0))[..., None]
    grey = photo.mean(2, keepdims=True)  # colour is left to what is computed
    beneath = np.where(cover > 0, cover * grey + (1 - cover) * photo, photo)
    rows, columns = np.indices((height, width))
    blended = (1 - cover) * beneath + cover * np.array(COVER)[(rows + columns) // 3 % 2]
    hatch = np.array(_STRIPES)[(rows - columns) // 5 % 2][..., None]
    result: Photo = np.where(np.isnan(share)[..., None], hatch, blended).round().astype(np.uint8)
    return result


def _rows(picture: Overlay, photographs: ExamplePhotos, most: int) -> list[list[_Tile]]:
    """Tiles row by row: an image with several panels begins a row of its own."""
    masks = zip(picture.images, picture.panels, picture.masks, strict=True)
    groups = []
    for number, panels in groupby(masks, key=lambda each: each[0]):
        photo = photographs[number]
        tiles = [_Tile(photo, f"image {number + 1}")]
        for _, name, mask in panels:
            tiles.append(_Tile(covered(photo, mask), name, _share(mask)))
        groups.append(tiles)
    longest = max(map(len, groups))
    if longest == 2:  # pairs side by side
        groups, longest = [[tile for tiles in groups for tile in tiles]], most - most % 2
    across = math.ceil(longest / math.ceil(longest / most))
    return [tiles[start : start + across] for tiles in groups for start in range(0, len(tiles), across)]


def _caption(tile: _Tile, letters: int) -> str:
    """The name in at most two lines, and the share beneath."""
    name = textwrap.fill(tile.name, letters, max_lines=2, placeholder=" …")
    return f"{name}\n{tile.share}" if tile.share else name


def _share(mask: Sequence[Sequence[float]]) -> str:
    share = percent(computed(mask))
    return "nothing to show" if share == NOT_MEASURED else f"{share} computed"


def _mean(values: Sequence[float]) -> float:
    known = finite(values)
    return math.fsum(known) / len(known) if known else math.nan
