"""Report folder: the results file, the page and the figures."""

from __future__ import annotations

import os
from pathlib import Path

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import atomic_write, write_text
from frugalmtl.report.columns import answer
from frugalmtl.report.drawing.canvas import FigureForm, Look
from frugalmtl.report.embedding import embed
from frugalmtl.report.page import Page, theme_css
from frugalmtl.report.palette import DARK, LIGHT
from frugalmtl.report.pictures import Drawing, drawings
from frugalmtl.report.results import Results, save_results
from frugalmtl.report.sections import sections

FIGURES = "figures"
"""The folder of the figures in the report's."""
PICTURE_BUDGET = 10_000_000
"""Characters of the page that pictures of samples may take together; figures and tables come on top."""


def write_report(results: Results, folder: str | os.PathLike[str]) -> Path:
    """Write ``results.json``, ``report.html`` and ``figures/*.png`` into ``folder``.

    Args:
        results: the comparison; paths of its pictures are relative to ``folder``.
        folder: made if it does not exist.

    Returns:
        The path of ``report.html``, one self-contained file.

    Raises:
        UserError: names in ``results`` do not fit together, a picture is missing, or a file cannot be written.
            Checks and drawing come before the first file is written.
    """
    target = Path(folder)
    results.check()
    figures = drawings(results, target)
    page = render_page(results, target, figures)
    files = _drawn(figures, "png")
    save_results(results, target / "results.json")
    _save(files, target / FIGURES)
    write_text(target / "report.html", page)
    return target / "report.html"


def write_figures(
    results: Results, folder: str | os.PathLike[str], target: str | os.PathLike[str], form: FigureForm
) -> list[Path]:
    """Write every figure of the report as a file that stands alone: light theme, titled, fonts inside.

    Args:
        results: the comparison; paths of its pictures are relative to ``folder``.
        folder: of the results file.
        target: folder of the figures, made if it does not exist.
        form: ``"pdf"``, ``"png"`` or ``"svg"``.

    Returns:
        The files, in the order of the page.

    Raises:
        UserError: names in ``results`` do not fit together, there is no figure, a picture is missing, or a file cannot
            be written. Checks and drawing come before the first file is written.
    """
    results.check()
    files = _drawn(drawings(results, Path(folder)), form)
    if not files:
        raise UserError(f"{folder} has no figures: they need rows with scores and a measured cost, or trainings")
    return _save(files, Path(target))


def _drawn(figures: list[Drawing], form: FigureForm) -> dict[str, bytes]:
    """``{name of the file: its content}``."""
    return {f"{drawing.name}.{form}": drawing.draw(Look(form=form)) for drawing in figures}


def _save(files: dict[str, bytes], folder: Path) -> list[Path]:
    for name, content in files.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
    return [folder / name for name in files]


def render_page(results: Results, folder: Path, figures: list[Drawing]) -> str:
    """The page as one HTML file: everything inline, nothing loaded from elsewhere.

    Args:
        results: the comparison.
        folder: the folder that the pictures' paths are relative to.
        figures: its drawings.

    Raises:
        UserError: a picture is missing or not readable.
    """
    photographs = {panel.image for panel in [*results.panels, *results.photos]}
    page = Page(results, figures, embed(results.pictures(), folder, photographs, PICTURE_BUDGET))
    rendered = [(section, section.render(page)) for section in sections()]
    return page.render(
        "page.html",
        sections=[(section, content) for section, content in rendered if content is not None],
        answer=answer(results),
        themes=[theme_css(theme, results) for theme in (LIGHT, DARK)],
    )
