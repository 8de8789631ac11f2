"""Locks: one holder each, and none after its process."""

from __future__ import annotations

import datetime
import errno
import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import SoftFileLock

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.locks import HOLDER, Locks, NoLocksError, hold, refuse_held
from frugalmtl.experiment.comparison.sweep import require_sweep

LOCKER = """
import sys, time
from pathlib import Path
from frugalmtl.core.disk.locks import Locks
with Locks(Path(sys.argv[1])).try_lock("run") as free:
    print(free, flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_when_its_holder_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LOCKER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "True"
        with Locks(tmp_path).try_lock("run") as free, Locks(tmp_path).try_lock("other") as other:
            assert not free
            assert other
        holder.kill()
        holder.wait()
    with Locks(tmp_path).try_lock("run") as free:
        assert free


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with Locks(tmp_path).try_lock("run") as free:
            assert free
        with Locks(tmp_path).lock("run"):
            pass


KEEPER = """
import sys, time
from pathlib import Path
from frugalmtl.core.disk.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_folder_names_its_holder_and_is_free_when_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KEEPER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline().strip() == "held"
        year = datetime.datetime.now().astimezone().year
        line = rf"is in use by process {keeper.pid} on {platform.node()} since {year}-.*: wait until it ends"
        for look in (refuse_held, enter):
            with pytest.raises(UserError, match=line):
                look(tmp_path)
        keeper.kill()
        keeper.wait()
    assert (tmp_path / HOLDER).exists(), "the word of the killed one is still there"
    refuse_held(tmp_path)
    enter(tmp_path)
    assert not (tmp_path / HOLDER).exists()


def enter(folder: Path) -> None:
    with hold(folder):
        pass


def test_a_folder_is_held_once_and_again_inside(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path):
            holder = json.loads((tmp_path / HOLDER).read_text())
            with hold(tmp_path / "." / "x" / ".."):
                assert holder["pid"] == os.getpid()
            assert (tmp_path / HOLDER).exists(), "the inner block ends nothing"


def test_to_look_writes_nothing(tmp_path: Path) -> None:
    refuse_held(tmp_path / "none")
    refuse_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def without_flock(patch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    patch.setattr("fcntl.flock", refuse)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_fails_well(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without_flock(monkeypatch, number)
    with pytest.raises(NoLocksError, match="cannot be locked: its file system"), Locks(tmp_path).try_lock("run"):
        pass
    with hold(tmp_path):
        pass
    (record,) = caplog.records
    assert "start no second process" in record.getMessage()


def test_a_system_without_locks_fails_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There the library's lock is a file, which stays when its holder is killed."""
    monkeypatch.setattr("frugalmtl.core.disk.locks.FileLock", SoftFileLock)
    with pytest.raises(NoLocksError, match="the operating system, has no locks"), Locks(tmp_path).lock("run"):
        pass
    with hold(tmp_path):
        assert "start no second process" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else find_spec(name))
    with pytest.raises(UserError, match=r"needs optuna.*pip install 'frugalmtl\[sweep\]'"):
        require_sweep()
