"""Templates of the page and the material that its sections are rendered from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from frugalmtl.report.drawing.canvas import Look, recolour
from frugalmtl.report.embedding import data_uri
from frugalmtl.report.formatting import decimals_for, duration, number
from frugalmtl.report.palette import Theme, row_styles
from frugalmtl.report.pictures import Drawing
from frugalmtl.report.results import Results, Row


@dataclass(frozen=True)
class Page:
    """The material of the page's sections.

    Attributes:
        results: the comparison.
        drawings: its figures, not yet drawn.
        samples: ``{path: data URI}`` of the panels' pictures.
    """

    results: Results
    drawings: list[Drawing]
    samples: dict[str, str]

    def charts(self, section: str, row: str | None = None) -> list[Drawing]:
        """The figures of a section; of one row's alone, or with ``""`` those of no single row."""
        return [each for each in self.drawings if each.section == section and row in (None, each.row)]

    def charts_by_row(self, section: str) -> list[tuple[Row, list[Drawing]]]:
        """``(row, its figures)`` of the rows that have any in a section."""
        charts = [(row, self.charts(section, row.name)) for row in self.results.rows]
        return [(row, drawn) for row, drawn in charts if drawn]

    def render(self, template: str, **values: Any) -> Markup:
        """A file of ``templates/`` with ``values``, the results and the rows' styles."""
        styles = row_styles(self.results)
        places = {name: place for place, name in enumerate(styles)}
        text = _environment().get_template(template).render(
            page=self, results=self.results, samples=self.samples, styles=styles, places=places, **values
        )  # fmt: skip
        return Markup(text)  # noqa: S704 - escaped by the environment


def theme_css(theme: Theme, results: Results) -> Markup:
    """The theme's colours as variables, and a class per row."""
    names = ("background", "panel", "ink", "quiet", "line")
    pairs = [f"--{name}:{getattr(theme, name)}" for name in names]
    pairs += [f"--r{index}:{style.colour(theme)}" for index, style in enumerate(row_styles(results).values())]
    classes = "".join(f".r{index}{{color:var(--r{index})}}" for index in range(len(results.rows)))
    return Markup(f":root{{{';'.join(pairs)}}}{classes}")  # noqa: S704 - constants of the palette alone


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("frugalmtl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"prose": _prose, "looks": _looks, "colour": _colour, "number": number, "duration": duration}
    environment.globals |= {"asset": _asset, "decimals_for": decimals_for}
    return environment


def _prose(text: str) -> Markup:
    """Escaped text in which the name of the measure gets its subscript."""
    return escape(text).replace("Δ_MTL", Markup("Δ<sub>MTL</sub>"))


def _colour(text: str) -> str:
    """A colour of a results file, as far as it is one: the text goes into a style attribute."""
    return text if re.fullmatch(r"#[0-9a-fA-F]{6}", text) else "transparent"


def _looks(drawing: Drawing) -> dict[str, str]:
    """The figure in four looks; the browser takes the one for its width and theme."""
    looks = {}
    for width in ("wide", "narrow"):
        svg = drawing.draw(Look(narrow=width == "narrow", form="svg", inline=True))
        looks[width] = data_uri(svg, "image/svg+xml")
        looks[f"{width}_dark"] = data_uri(recolour(svg), "image/svg+xml")
    return looks


def _asset(name: str) -> Markup:
    """A style sheet or script of ``templates/assets/``, as it stands."""
    loader = PackageLoader("frugalmtl.report")
    return Markup(loader.get_source(_environment(), f"assets/{name}")[0])  # noqa: S704 - a file of ours
