"""Locks that many share and one holds alone."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from frugalmtl.core.disk.locks import Locks

SHARER = """
import sys, time
from pathlib import Path
from frugalmtl.core.disk.locks import Locks
with Locks(Path(sys.argv[1])).share("work"):
    print("shared", flush=True)
    time.sleep(600)
"""


def test_many_share_at_once_and_places_are_used_again(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    for _ in range(2):
        with locks.share("work"), locks.share("work"), locks.share("work"), locks.try_lock("work") as gate:
            assert gate, "who shares keeps none out but who wants it alone"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "work.1.lock",
        "work.2.lock",
        "work.3.lock",
        "work.lock",
    ]


def test_who_wants_it_alone_waits_for_all_and_none_begins_meanwhile(tmp_path: Path) -> None:
    locks, events = Locks(tmp_path), list[str]()
    waits, late = threading.Event(), threading.Event()

    def alone() -> None:
        waits.set()
        with locks.alone("work"):
            events.append("alone begins")
            late.wait(5)
            events.append("alone ends")

    def begin_late() -> None:
        with locks.share("work"):
            events.append("late begins")

    measurer, latecomer = threading.Thread(target=alone), threading.Thread(target=begin_late)
    with locks.share("work"), locks.share("work"):
        measurer.start()
        waits.wait(5)
        measurer.join(0.2)
        latecomer.start()
        latecomer.join(0.2)
        events.append("first end")
    measurer.join(0.5)
    late.set()
    measurer.join(5)
    latecomer.join(5)
    assert events == ["first end", "alone begins", "alone ends", "late begins"]


def test_a_killed_sharer_keeps_nobody_waiting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alone = threading.Event()

    def wait() -> None:
        with Locks(tmp_path).alone("work"):
            alone.set()

    with subprocess.Popen([sys.executable, "-c", SHARER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as sharer:
        assert sharer.stdout is not None
        assert sharer.stdout.readline().strip() == "shared"
        with caplog.at_level(logging.WARNING):
            waiter = threading.Thread(target=wait)
            waiter.start()
            assert not alone.wait(0.6)
        assert "waiting until another process ends its work" in caplog.text
        sharer.kill()
        sharer.wait()
    waiter.join(10)
    assert alone.is_set()
