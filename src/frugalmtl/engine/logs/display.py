"""Progress of a run on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from frugalmtl.core.terminal import visible


class ProgressDisplay:
    """A bar with the time left on a terminal, and the losses of every epoch above it; the lines alone if asked for.

    Args:
        mode: ``"auto"``, ``"plain"`` or ``"off"`` (see :class:`~frugalmtl.engine.settings.TrainSettings`).
        total: optimiser steps of the run.
        done: steps that are behind already.
    """

    def __init__(self, mode: Literal["auto", "plain", "off"], total: int, done: int = 0) -> None:
        self._plain = mode == "plain"
        self._total = total
        self._bar: Progress | None = None
        if mode == "auto" and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._id = self._bar.add_task("training", total=total, completed=done)

    def step(self, done: int, label: str) -> None:
        """Move to ``done`` steps."""
        if self._bar is not None:
            self._bar.update(self._id, completed=done, description=visible(label))

    def epoch(self, label: str, losses: Mapping[str, float], seconds_left: float) -> None:
        """Print a finished epoch, on a terminal above the bar, which says itself how much time is left."""
        line = visible(f"{label}  {'  '.join(f'{name} {value:.4f}' for name, value in losses.items())}")
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        if self._plain:
            minutes, seconds = divmod(round(seconds_left), 60)
            print(f"{line}  {minutes}:{seconds:02d} left", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print a line about the whole training, on a terminal above the bar."""
        if self._bar is not None:
            self._bar.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)
        if self._plain:
            print(visible(text), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
