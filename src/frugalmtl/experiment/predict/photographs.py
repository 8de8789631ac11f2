"""Predictions of a trained run on photographs, written as pictures and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from frugalmtl.core.checks import UserError, known, positive
from frugalmtl.core.terminal import tracked
from frugalmtl.data.photographs import distinct, photo_name, photographs, read_photo, shrink
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.run import Run
from frugalmtl.export._run_model import SAVED
from frugalmtl.report.drawing.predictions import save_legend, save_predictions

_NEEDS = {"ids": ("class index", "classes"), "depth_mm": ("metres", "metres")}
"""Formats that some predictions alone can be saved in: what they have to be, and in words."""


@dataclass(frozen=True)
class PredictSettings:
    """How photographs are predicted, and what is kept.

    Attributes:
        saved: what is written (:func:`~frugalmtl.report.drawing.predictions.save_predictions`).
        native: predict at the photographs' own size instead of the network's.
        longest: photographs are shrunk to this longer side in pixels first; not shrunk if None.
        device: where the network runs: ``"auto"`` is a GPU where there is one.
        point: operating point of the model (:meth:`Run.at`).
        progress: show a bar where a terminal does.
    """

    saved: tuple[str, ...] = ("overlay",)
    native: bool = False
    longest: int | None = None
    device: str = "auto"
    point: str | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        for name in self.saved:
            known("format to save:", name, SAVED)
        if not self.saved:
            raise UserError(f"nothing is to be saved: name some of {', '.join(SAVED)}")
        if self.longest is not None:
            positive("the longer side of a photograph", self.longest)


def predict_photos(
    run: str | Path,
    sources: Sequence[str | Path],
    folder: Path | None = None,
    settings: PredictSettings | None = None,
    on_failure: Callable[[UserError], object] = lambda _: None,
    lines: Iterable[str] = (),
) -> Iterator[Path]:
    """Write predictions of every task for every photograph, and a legend; yields the files as they are written.

    One photograph is in memory at a time. One that cannot be read or is too large does not keep the others from being
    predicted.

    Args:
        run: folder of a trained run.
        sources: photographs of any size, folders, patterns, or ``-`` (:func:`~frugalmtl.data.photographs.photographs`).
        folder: of the files; ``predictions/`` in the run if not given, ``predictions@POINT/`` of an operating point.
        settings: how, and what is kept.
        on_failure: told about each of several photographs that could not be predicted, at once.
        lines: the list that ``-`` stands for.

    Raises:
        UserError: before anything is written, no trained run, a photograph that does not exist, no such device, or a
            format that none of the run's predictions can be saved in; after all others are written, the photographs
            that could not be predicted.
    """
    settings = settings or PredictSettings()
    photos = photographs(sources, lines)
    trained = Run.open(run)
    trained = trained if settings.point is None else trained.at(settings.point)
    _check_formats(trained, settings.saved)
    predictor = trained.predictor(native=settings.native, device=settings.device)
    folder = folder or trained.folder / f"predictions{trained.at_point}"
    failures = []
    named = list(zip(photos, distinct([photo_name(photo) for photo in photos]), strict=True))
    for photo, name in tracked(named, "predicting", shown=settings.progress and len(named) > 1):
        try:
            yield from _predict(photo, settings, predictor, folder, name)
        except UserError as error:
            if len(photos) == 1:
                raise
            failures.append(photo)
            on_failure(error)
    legend = save_legend(predictor.tasks, folder / "legend.png") if "overlay" in settings.saved else None
    if legend is not None:
        yield legend
    if failures:
        raise UserError(f"{len(failures)} of {len(photos)} photographs could not be predicted; the others are written")


def _check_formats(run: Run, saved: Sequence[str]) -> None:
    """Refuse formats that none of a run's predictions can be saved in.

    Raises:
        UserError: there is one.
    """
    tasks = [task for task in run.network().tasks if not task.auxiliary]
    for name in saved:
        gives, words = _NEEDS.get(name, (None, ""))
        if gives is not None and not any(task.dense and task.decode.gives == gives for task in tasks):
            kinds = ", ".join(f"{task.name} ({task.decode.gives})" for task in tasks)
            raise UserError(f"{name} needs a map of {words}, but this network predicts {kinds}: leave it out")


def _predict(photo: str, settings: PredictSettings, predictor: Predictor, folder: Path, name: str) -> list[Path]:
    pixels = read_photo(photo, predictor.exif)
    small = pixels if settings.longest is None else shrink(pixels, settings.longest)
    del pixels  # a large one may not fit beside its prediction
    return save_predictions(small, predictor(small), predictor.tasks, folder, name, settings.saved)
