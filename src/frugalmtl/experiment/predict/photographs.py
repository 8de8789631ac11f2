"""Predictions of a trained run on photographs, written as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from frugalmtl.core.checks import positive
from frugalmtl.data.photographs import read_photos, shrink
from frugalmtl.experiment.runs.run import Run
from frugalmtl.report.pictures.predictions import save_legend, save_predictions


def predict_photos(
    run: str | Path, sources: Sequence[str | Path], folder: Path | None = None, longest: int | None = None
) -> Iterator[Path]:
    """Write overlays of every task for every photograph, and a legend; yields the files as they are written.

    Args:
        run: folder of a trained run.
        sources: photographs of any size, or ``skimage:coffee``.
        folder: of the pictures; ``predictions/`` in the run if not given.
        longest: photographs are shrunk to this longer side in pixels; not shrunk if not given.

    Raises:
        UserError: a photograph cannot be read or does not fit into memory, no trained run, or a side below 1.
    """
    photos = read_photos(sources)
    if longest is not None:
        positive("the longer side of a photograph", longest)
    trained = Run.open(run)
    predictor = trained.predictor()
    folder = folder or trained.folder / "predictions"
    for name, photo in photos.items():
        small = photo if longest is None else shrink(photo, longest)
        yield from save_predictions(small, predictor(small), predictor.tasks, folder, name)
    legend = save_legend(predictor.tasks, folder / "legend.png")
    if legend is not None:
        yield legend
