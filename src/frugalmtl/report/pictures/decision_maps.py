"""Heat maps of the decisions of trained encoders."""

from __future__ import annotations

from collections.abc import Iterator

from frugalmtl.report.pictures.base import Drawing, Picture, file_name, heat_map_drawing
from frugalmtl.report.results import Results


class DecisionMaps(Picture):
    """The heat maps that a row's encoder gives, one figure each."""

    section = "decisions"
    order = 40

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Row by row."""
        for place, row in enumerate(results.rows):
            for picture in row.pictures:
                name = f"decisions_{file_name(row, place)}_{picture.name}"
                yield heat_map_drawing(
                    name, picture.title, row.label, picture, caption=picture.caption, row=row.name, means=True
                )
