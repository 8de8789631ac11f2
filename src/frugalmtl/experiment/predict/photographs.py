"""Predictions of a trained run on photographs, written as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from frugalmtl.core.checks import UserError, positive
from frugalmtl.data.photographs import check_source, distinct, photo_name, read_photo, shrink
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.run import Run
from frugalmtl.report.drawing.predictions import save_legend, save_predictions


def predict_photos(
    run: str | Path,
    sources: Sequence[str | Path],
    folder: Path | None = None,
    longest: int | None = None,
    on_failure: Callable[[UserError], object] = lambda _: None,
    point: str | None = None,
) -> Iterator[Path]:
    """Write overlays of every task for every photograph, and a legend; yields the files as they are written.

    One photograph is in memory at a time. One that cannot be read or is too large does not keep the others from being
    predicted.

    Args:
        run: folder of a trained run.
        sources: photographs of any size, or ``skimage:coffee``.
        folder: of the pictures; ``predictions/`` in the run if not given, ``predictions@POINT/`` of an operating point.
        longest: photographs are shrunk to this longer side in pixels; not shrunk if not given.
        on_failure: told about each of several photographs that could not be predicted, at once.
        point: operating point of the model (:meth:`Run.at`).

    Raises:
        UserError: before anything is written, no trained run, a photograph that does not exist, or a side below 1;
            after all others are written, the photographs that could not be predicted.
    """
    for source in sources:
        check_source(source)
    if longest is not None:
        positive("the longer side of a photograph", longest)
    trained = Run.open(run)
    trained = trained if point is None else trained.at(point)
    predictor = trained.predictor()
    folder = folder or trained.folder / f"predictions{trained.at_point}"
    failures = []
    for source, name in zip(sources, distinct([photo_name(source) for source in sources]), strict=True):
        try:
            yield from _predict(source, longest, predictor, folder, name)
        except UserError as error:
            if len(sources) == 1:
                raise
            failures.append(source)
            on_failure(error)
    legend = save_legend(predictor.tasks, folder / "legend.png")
    if legend is not None:
        yield legend
    if failures:
        raise UserError(f"{len(failures)} of {len(sources)} photographs could not be predicted; the others are written")


def _predict(source: str | Path, longest: int | None, predictor: Predictor, folder: Path, name: str) -> list[Path]:
    photo = read_photo(source, predictor.exif)
    small = photo if longest is None else shrink(photo, longest)
    del photo  # a large one may not fit beside its prediction
    return save_predictions(small, predictor(small), predictor.tasks, folder, name)
