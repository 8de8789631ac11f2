"""Flushing of files and folders to the disk, as far as operating system and file system can."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_NO_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What systems answer that have nothing to flush here: some network and user-space file systems."""
_NO_FOLDER = _NO_FLUSH | {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EBADF}
"""What systems answer that open no folders: Windows, which writes names down by itself."""


def flush_file(path: Path) -> None:
    """Let the disk hold what was written to a file.

    Raises:
        OSError: the disk refused (no space, a fault).
    """
    with path.open("r+b") as file:  # Windows flushes no file that is open for reading alone
        _flush(file.fileno(), _NO_FLUSH)


def flush_folder(path: Path) -> None:
    """Let the disk hold the names in a folder; where folders cannot be opened there is nothing to do.

    Raises:
        OSError: the disk refused.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_FOLDER:
            return
        raise
    try:
        _flush(handle, _NO_FOLDER)
    finally:
        os.close(handle)


def _flush(handle: int, unable: set[int]) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in unable:
            raise
