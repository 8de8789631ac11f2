"""Locks between processes that share a folder; a lock ends with the process that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frugalmtl.core.checks import UserError


class Locks:
    """Named locks in a folder, each held by at most one process.

    They are locks of the operating system (``flock``) on small files: a lock ends when its holder does, also by
    SIGKILL, so none goes stale and none needs a heartbeat. The files stay; a file without a holder means nothing.

    Args:
        folder: where the files lie; made with the first lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Hold a lock for the block if it is free; yields whether it was."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._path(name))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Wait for a lock, and hold it for the block."""
        from filelock import FileLock

        with FileLock(self._path(name)):
            yield

    def _path(self, name: str) -> str:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make {self.folder}: {error.strerror or error}: choose another folder") from None
        return str(self.folder / f"{name}.lock")
