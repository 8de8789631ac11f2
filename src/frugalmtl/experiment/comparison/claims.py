"""Which of several processes on one folder does what: locks that end with the process that holds them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frugalmtl.core.checks import UserError

INSTALL = "pip install 'frugalmtl[sweep]'"


def require_sweep() -> None:
    """Check that the libraries of a sweep are there.

    Raises:
        UserError: one of them is not installed.
    """
    missing = [name for name in ("optuna", "filelock") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"a sweep needs {' and '.join(missing)}, which is not installed: {INSTALL}")


class Claims:
    """Named claims in a folder, each held by at most one process.

    A claim is a lock of the operating system (``flock``) on a small file: it ends when its holder does, also by
    SIGKILL, so there is nothing to go stale and no heartbeat to miss. The files stay; a file without a holder means
    nothing.

    Args:
        folder: where the files lie; made with the first claim.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Take a claim if it is free: gives whether it was; what was taken is given back at the end."""
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
    def hold(self, name: str) -> Iterator[None]:
        """Wait for a claim and take it."""
        from filelock import FileLock

        with FileLock(self._path(name)):
            yield

    def _path(self, name: str) -> str:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make {self.folder}: {error.strerror or error}: choose another folder") from None
        return str(self.folder / f"{name}.lock")
