"""What the engine asks of a source of training batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from frugalmtl.core.types import Batch


class EpochLoader(Protocol):
    """Batches of this process, epoch by epoch; what an epoch holds depends on a seed and its index alone."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches in every epoch, the same for all processes."""
        ...

    def epoch(self, index: int, start: int = 0) -> Iterable[Batch]:
        """The batches of epoch ``index`` (0-based, of the whole run) from batch ``start`` on."""
        ...
