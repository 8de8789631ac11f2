"""TensorBoard: events in the folder of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from frugalmtl.engine.loggers.base import LogPlace, RunLogger

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger


class TensorBoard(RunLogger):
    """Events in ``tensorboard/`` in the folder of the run (``tensorboard --logdir runs``).

    When a run goes on, what came after its checkpoint is hidden.

    Args:
        flush_secs: seconds after which events are written at the latest.
    """

    needs: ClassVar[Mapping[str, str]] = {"tensorboard": "tensorboard"}

    def __init__(self, *, flush_secs: int = 120) -> None:
        self.flush_secs = flush_secs

    def open(self, place: LogPlace) -> Logger:
        """Lightning's logger of a run."""
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        return TensorBoardLogger(
            place.folder, "tensorboard", version="", purge_step=place.step + 1, flush_secs=self.flush_secs
        )
