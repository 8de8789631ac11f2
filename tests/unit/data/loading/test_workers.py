"""The number of workers that "auto" stands for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.data.base import Split
from frugalmtl.data.datasets.rooms import Rooms
from frugalmtl.data.loading import worker_count, workers
from frugalmtl.data.parts import part
from frugalmtl.engine import TrainSettings


@pytest.mark.parametrize(
    ("cores", "processes", "on_cpu", "expected"),
    [
        (1, 1, True, 0),
        (2, 1, True, 0),
        (4, 1, True, 1),
        (16, 1, True, 4),
        (16, 4, True, 1),
        (96, 1, True, 8),
        (1, 1, False, 1),
        (2, 1, False, 1),
        (16, 1, False, 8),
        (16, 4, False, 3),
        (4, 8, False, 1),
    ],
)
def test_the_cores_are_shared(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, on_cpu: bool, expected: int
) -> None:
    monkeypatch.setattr(workers, "cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    assert worker_count("auto", on_cpu=on_cpu, batches=100, processes=processes) == expected


def test_on_a_cpu_no_more_cores_count_than_torch_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert worker_count("auto", on_cpu=True, batches=100) == 1
    assert worker_count("auto", on_cpu=False, batches=100) == 8


@pytest.mark.parametrize(("batches", "expected"), [(0, 0), (1, 0), (2, 1), (3, 2), (9, 8), (50, 8)])
def test_tiny_splits_get_few(monkeypatch: pytest.MonkeyPatch, batches: int, expected: int) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 32)
    assert worker_count("auto", on_cpu=False, batches=batches) == expected


@pytest.mark.parametrize(("on_cpu", "decoded", "expected"), [(True, False, 4), (True, True, 0), (False, True, 8)])
def test_samples_that_lie_decoded_need_none_on_a_cpu(
    on_cpu: bool, decoded: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert worker_count("auto", on_cpu=on_cpu, batches=100, decoded=decoded) == expected
    assert worker_count(3, on_cpu=on_cpu, batches=100, decoded=decoded) == 3


def test_a_dataset_says_whether_its_samples_lie_decoded(tmp_path: Path) -> None:
    rooms = Rooms(size="tiny", train=40, cache=str(tmp_path)).split("train")
    assert rooms.decoded
    assert part(rooms, 0.0, 0.5).decoded
    assert not Split().decoded


@pytest.mark.parametrize("number", [0, 1, 20])
def test_a_number_stays(number: int) -> None:
    assert worker_count(number, on_cpu=True, batches=1, processes=4) == number


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no processes to cores")
def test_cores_are_those_that_the_process_is_bound_to() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert workers.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert workers.cores() == len(before)


@pytest.mark.parametrize("value", ["auto", 0, 3])
def test_the_number_may_change_while_a_run_is_under_way(value: Any) -> None:
    assert TrainSettings(workers=value).identity() == TrainSettings(workers=1).identity()


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(UserError, match="workers must be 'auto' or a number from 0 on, but got -1"):
        TrainSettings(workers=-1)
