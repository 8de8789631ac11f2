"""Streams: the batches of any step, each loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from frugalmtl.core.types import Batch
from frugalmtl.engine.stages.streams import StreamReader
from tests.support.tiny_training import TinyLoader


class Counting(TinyLoader):
    """Notes what is loaded, and which epochs it could close."""

    def __init__(self, batches: int) -> None:
        super().__init__(batches)
        self.loaded: list[tuple[int, int]] = []
        self.closed: list[int] = []

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        for number, batch in enumerate(super().epoch(index, start), start=start):
            self.loaded.append((index, number))
            yield batch
        self.closed.append(index)


def reader(batches: int, accumulate: int = 1) -> tuple[StreamReader, Counting]:
    loader = Counting(batches)
    return StreamReader(loader, accumulate, lambda groups: groups), loader


def names(groups: list[Any]) -> list[list[str]]:
    return [[batch.names[0] for batch in group] for group in groups]


def test_a_stream_begins_anew_when_it_is_through() -> None:
    stream, loader = reader(3, accumulate=2)
    groups = [stream.read(step) for step in range(5)]
    assert [len(group) for group in groups] == [2, 1, 2, 1, 2]
    assert loader.loaded == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert loader.closed == [0, 1], "an epoch that was read to its end was closed"
    assert names(groups[:2]) != names(groups[2:4]), "epochs differ"


def test_a_step_is_the_same_wherever_one_begins() -> None:
    whole = [reader(4)[0].read(step) for step in range(8)]
    stream, _ = reader(4)
    assert names([stream.read(step) for step in range(8)]) == names(whole)
    stream, _ = reader(4)
    assert names([stream.read(step) for step in (6, 7, 2, 3, 5)]) == names([whole[step] for step in (6, 7, 2, 3, 5)])


def test_the_same_step_is_not_loaded_twice() -> None:
    stream, loader = reader(3)
    first = stream.read(2)
    assert stream.read(2) is first
    assert loader.loaded == [(0, 2)]
    stream.read(3)
    assert loader.loaded == [(0, 2), (1, 0)]
