"""Results -> a folder with the results file, the page and the figures."""

from __future__ import annotations

import os
from pathlib import Path

from frugalmtl.core.files import atomic_write, write_text
from frugalmtl.report.figures import Look, drawings
from frugalmtl.report.page import render_page
from frugalmtl.report.results import Results, save_results


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
    page = render_page(results, target)
    figures = {drawing.name: drawing.draw(Look()) for drawing in drawings(results)}
    save_results(results, target / "results.json")
    for name, content in figures.items():
        with atomic_write(target / "figures" / f"{name}.png") as temporary:
            temporary.write_bytes(content)
    write_text(target / "report.html", page)
    return target / "report.html"
