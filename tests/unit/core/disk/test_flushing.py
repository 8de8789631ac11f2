"""Files on systems of another kind: whole, whatever the system cannot do."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.flushing import flush_file, flush_folder
from frugalmtl.core.files import write_text
from frugalmtl.engine.checkpoints import Checkpoints, load_weights, step_name


def windows(patch: pytest.MonkeyPatch) -> None:
    """Folders cannot be opened, files that are open for reading alone cannot be flushed, and there is no umask."""
    import fcntl

    open_file, flush = os.open, os.fsync

    def open_no_folder(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_file(path, flags, *rest, **more)

    def flush_writable(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flush(handle)

    patch.setattr(os, "open", open_no_folder)
    patch.setattr(os, "fsync", flush_writable)
    patch.setattr(shutil, "_use_fd_functions", False)  # as it removes folders there
    for name in ("umask", "chmod", "fchmod"):
        patch.delattr(os, name)


def no_flush(patch: pytest.MonkeyPatch) -> None:
    """A network or user-space file system that knows no flush."""

    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    patch.setattr(os, "fsync", refuse)


SYSTEMS = {"windows": windows, "no flush": no_flush}


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    SYSTEMS[request.param](monkeypatch)
    return str(request.param)


def test_a_file_is_written_whole_on_another_system(system: str, tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "old")
    write_text(tmp_path / "note.txt", "new")
    assert (tmp_path / "note.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_checkpoint_is_written_whole_on_another_system(system: str, tmp_path: Path) -> None:
    checkpoints, model = Checkpoints(tmp_path), nn.Linear(2, 2)
    for step in (1, 2):
        with torch.no_grad():
            model.weight += 1
        checkpoints.write(step_name(step), model, nn.Identity(), {"step": step})
    again = nn.Linear(2, 2)
    latest = checkpoints.latest()
    assert latest == tmp_path / "step-00000002"
    load_weights(again, latest)
    torch.testing.assert_close(again.weight, model.weight)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last", "step-00000002"]


@pytest.mark.parametrize("flush", [flush_file, flush_folder])
def test_a_fault_of_the_disk_is_told(flush: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        flush(tmp_path / "file" if flush is flush_file else tmp_path)
    with pytest.raises(UserError, match="Input/output"):
        write_text(tmp_path / "note.txt", "x")
    assert not (tmp_path / "note.txt").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_folders_of_checkpoints_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = Checkpoints(tmp_path / "checkpoints").write(step_name(1), nn.Linear(1, 1), nn.Identity(), {})
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o640
