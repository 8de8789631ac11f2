"""CSV: a table of all figures in the folder of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frugalmtl.engine.loggers.base import LogPlace, RunLogger

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger


class Csv(RunLogger):
    """Table ``loggers/csv/metrics.csv`` in the folder of the run: a line per record, a column per figure.

    When a run goes on, the table is written anew from its log, and reads as if it had never been interrupted.
    """

    replays = True

    def open(self, place: LogPlace) -> Logger:
        """Lightning's logger of a run."""
        from lightning_fabric.loggers.csv_logs import CSVLogger

        (place.files / "csv" / "metrics.csv").unlink(missing_ok=True)
        return CSVLogger(place.files, "csv", version="")
