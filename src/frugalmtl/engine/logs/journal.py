"""Journal of a training: what it tells the log and the person who watches, and the means of the epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from frugalmtl.engine.logs.display import ProgressDisplay
from frugalmtl.engine.logs.means import Means, count_report, step_record
from frugalmtl.engine.logs.run_log import RunLog
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stages.best import STOPPED, best_epoch
from frugalmtl.engine.step import StepReport
from frugalmtl.losses import totals_by_task


class Journal:
    """The records of one training.

    Args:
        settings: how often and how loudly.
        total: optimiser steps of the whole run.
        facts: how it is trained, for the loggers.

    Attributes:
        history: one record per epoch.
        means: of the epoch so far.
        steps: optimiser steps that are done.
    """

    def __init__(self, settings: TrainSettings, total: int, facts: Mapping[str, Any] | None = None) -> None:
        self.settings, self.total, self.facts = settings, total, facts
        self.history: list[dict[str, Any]] = []
        self.means = Means()
        self.steps = self._first_step = 0
        self._started, self._seconds_before = time.perf_counter(), 0.0
        self._log, self._display, self._complete = RunLog(None), ProgressDisplay("off", 0), False

    def go_on(self, history: list[dict[str, Any]], steps: int, seconds: float) -> None:
        """Go on from the records of an interrupted run."""
        self.history, self.steps, self._first_step, self._seconds_before = history, steps, steps, seconds

    def open(self, folder: Path | None) -> None:
        """Open log and display.

        Args:
            folder: of the run; None on all processes but the first.
        """
        self._log = RunLog(folder, step=self.steps, loggers=self.settings.log_sections, facts=self.facts)
        self._display = ProgressDisplay(self.settings.progress if folder else "off", self.total, self.steps)

    def close(self) -> None:
        """Leave the terminal as it was, and close the log."""
        self._display.close()
        self._log.close(complete=self._complete)

    def seconds(self) -> float:
        """Time spent training, over all interruptions."""
        return self._seconds_before + time.perf_counter() - self._started

    def due(self, every: int) -> bool:
        """Whether something that is done every so many steps is due; 0 is never."""
        return every > 0 and self.steps % every == 0

    def step(self, report: StepReport, label: str) -> None:
        """Count a step that was taken."""
        self.steps += 1
        count_report(self.means, report)
        self._display.step(self.steps, label)

    def log_step(self, report: StepReport, place: dict[str, Any]) -> None:
        """Write the record of a step."""
        record = {**place, **step_record(report), "seconds": round(self.seconds(), 3)}
        self._log.write("step", self.steps, record)

    def epoch(self, record: dict[str, Any], label: str) -> None:
        """Write the record of an epoch."""
        self.history.append(record)
        self._log.write("epoch", self.steps, {**record, "seconds": round(self.seconds(), 3)})
        pace = (time.perf_counter() - self._started) / (self.steps - self._first_step)
        self._display.epoch(label, record["losses"], pace * (self.total - self.steps))

    def end(self) -> None:
        """The training is complete: tell the person who watches which epochs were trained and kept, where scores
        chose."""
        self._complete = True
        number = best_epoch(self.history)
        if number is None:
            return
        last, stopped = self.history[-1]["epoch"], self.history[-1].get(STOPPED)
        if stopped:
            self._display.note(
                f"ended after epoch {last + 1} of {self.settings.epochs}: {self.settings.patience} evaluations in a "
                f"row were no better than that of epoch {number + 1}"
            )
        if self.settings.keep == "best":
            self._display.note(f"kept the weights of epoch {number + 1} of {last + 1}, whose scores were best")

    def epoch_means(self, device: torch.device) -> dict[str, Any]:
        """The means of the epoch: ``losses`` by task, their ``parts``, ``statistics``, and whatever steps reported."""
        means = self.means.by_kind(device)
        parts = means.pop("parts")
        return {"losses": totals_by_task(parts), "parts": parts, **means}
