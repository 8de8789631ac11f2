"""Decisions of trained encoders: what they show of themselves, and of single images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from frugalmtl.core.types import Curve, Distribution, Overlay
from frugalmtl.report.drawing.curve import curve, curve_words
from frugalmtl.report.drawing.distribution import distribution, distribution_words
from frugalmtl.report.drawing.overlay import overlay, overlay_words
from frugalmtl.report.drawing.photographs import ExamplePhotos
from frugalmtl.report.pictures.base import Drawing, Picture, file_name, heat_map_drawing
from frugalmtl.report.results import Results


class DecisionMaps(Picture):
    """The pictures that a row's encoder gives, one figure each."""

    section = "decisions"
    order = 40

    def over_photographs(self, results: Results, photographs: ExamplePhotos) -> Iterator[Drawing]:
        """Row by row: first what is done with single images, then the heat maps."""
        for place, row in enumerate(results.rows):
            stem = f"decisions_{file_name(row, place)}"
            for shown in row.image_pictures.all():
                yield _drawing(f"{stem}_{shown.name}", row.name, row.label, shown, photographs)
            for picture in row.pictures:
                yield heat_map_drawing(
                    f"{stem}_{picture.name}", picture.title, row.label, picture,
                    caption=picture.caption, row=row.name, means=True,
                )  # fmt: skip


def _drawing(
    name: str, row: str, label: str, picture: Overlay | Distribution | Curve, photographs: ExamplePhotos
) -> Drawing:
    if isinstance(picture, Curve):
        words, draw, wide = curve_words(picture), partial(curve, label, picture), False
    elif isinstance(picture, Overlay):
        words, draw, wide = overlay_words(picture), partial(overlay, label, picture, photographs), True
    else:
        words = distribution_words(picture)
        draw, wide = partial(distribution, label, picture, photographs), bool(picture.extremes)
    return Drawing(name, picture.title, words, draw, wide, row, picture.caption)
