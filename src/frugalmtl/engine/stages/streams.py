"""Streams of batches: the batches of any step of a stream, in order or from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch

from frugalmtl.core.types import Batch
from frugalmtl.engine.randomness import isolated

CPU = torch.device("cpu")


class EpochLoader(Protocol):
    """Batches of this process, epoch by epoch; the content of an epoch depends on a seed and its index alone."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches in every epoch, the same for all processes."""
        ...

    def epoch(self, index: int, start: int = 0) -> Iterable[Batch]:
        """The batches of epoch ``index`` (0-based, of the whole stream) from batch ``start`` on."""
        ...


def steps_per_pass(loader: EpochLoader, accumulate: int) -> int:
    """Optimiser steps of one pass over a stream."""
    return -(-loader.batches_per_epoch // accumulate)


class StreamReader:
    """The batches of every step of one stream, which begins anew whenever it is through.

    Args:
        loader: of the stream.
        accumulate: batches per step.
        prepare: passes the batches of coming steps on, for instance to a device.
    """

    def __init__(
        self,
        loader: EpochLoader,
        accumulate: int,
        prepare: Callable[[Iterator[list[Batch]]], Iterator[list[Batch]]],
    ) -> None:
        self.loader, self.accumulate, self.prepare = loader, accumulate, prepare
        self._steps = steps_per_pass(loader, accumulate)
        self._groups: Iterator[list[Batch]] | None = None
        self._next = -1
        self._last: list[Batch] = []

    def read(self, step: int) -> list[Batch]:
        """The batches of a step (0-based, of the whole stream); of the last step once more, without loading them."""
        if step == self._next - 1 and self._last:
            return self._last
        epoch, start = divmod(step, self._steps)
        if self._groups is None or step != self._next:
            self._groups = self.prepare(_grouped(self.loader, epoch, start, self.accumulate))
        self._last, self._next = next(self._groups), step + 1
        if start + 1 == self._steps:
            next(self._groups, None)  # lets the loader close its epoch
            self._groups = None
        return self._last


def _grouped(loader: EpochLoader, epoch: int, start: int, accumulate: int) -> Iterator[list[Batch]]:
    """The batches of every step of an epoch from step ``start`` on; loading leaves no trace in the generators."""
    total = loader.batches_per_epoch
    with isolated(CPU):
        source = iter(loader.epoch(epoch, start * accumulate))
    for first in range(start * accumulate, total, accumulate):
        group: list[Batch] = []
        for _ in range(first, min(first + accumulate, total)):
            with isolated(CPU):
                batch = next(source, None)
            if batch is None:
                raise RuntimeError(f"the loader ended before its {total} batches")
            group.append(batch)
        yield group
    with isolated(CPU):
        next(source, None)
