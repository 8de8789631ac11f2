"""Locks between processes, by the operating system; a lock ends with the process that holds it."""

from __future__ import annotations

import datetime
import errno
import itertools
import json
import logging
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import read_json
from frugalmtl.core.files import write_text

LOCK, HOLDER = ".in-use.lock", ".in-use.json"
"""Files in a folder that is held: the lock, which stays behind and means nothing by itself, and a word about the
holder."""
PATIENCE = 0.3
"""Seconds after which a held lock is taken as held: long enough for another process's look at it."""
_UNABLE = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}

_log = logging.getLogger(__name__)
_held: set[Path] = set()


class NoLocksError(UserError):
    """Neither the operating system nor the file system can lock a file here."""


class Locks:
    """Named locks in a folder, each held by at most one process.

    They are locks of the operating system (``flock`` and its like) on small files: a lock ends when its holder does,
    also by SIGKILL, so none goes stale and none needs a heartbeat. The files stay; a file without a holder means
    nothing.

    Args:
        folder: where the files lie; made with the first lock.

    Raises:
        NoLocksError: (every method) there are no such locks here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Hold a lock for the block if it is free; yields whether it was."""
        lock = _acquire(self.folder / f"{name}.lock", seconds=0.0)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Wait for a lock, and hold it for the block."""
        lock = _acquire(self.folder / f"{name}.lock", seconds=-1.0)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def share(self, name: str) -> Iterator[None]:
        """Hold a lock for the block beside others that share it; waits while one holds it, or waits for it, alone."""
        with ExitStack() as stack:
            with self.lock(name):  # who holds it alone keeps this: none begins meanwhile
                any(stack.enter_context(self.try_lock(f"{name}.{number}")) for number in itertools.count(1))
            yield

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Wait until nobody shares a lock, and hold it for the block; a process that waits long says so in the log."""
        with self.lock(name), ExitStack() as stack:
            for path in sorted(self.folder.glob(f"{name}.[0-9]*.lock")):
                lock = _acquire(path, seconds=PATIENCE)
                if lock is None:
                    _log.warning("waiting until another process ends its work in %s", self.folder.parent)
                    lock = _acquire(path, seconds=-1.0)
                if lock is not None:
                    stack.callback(lock.release)
            yield


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder for the block, so that no other process works in it; within itself this does nothing.

    Where nothing can be locked (some network file systems) a warning is logged, and the block runs all the same.

    Raises:
        UserError: another process holds the folder: its number, its machine and since when.
    """
    key = folder.resolve()
    if key in _held:
        yield
        return
    try:
        lock = _acquire(folder / LOCK, seconds=PATIENCE)
    except NoLocksError as error:
        _log.warning("%s. Work goes on without: start no second process on this folder.", error)
        yield
        return
    if lock is None:
        raise _in_use(folder)
    _held.add(key)
    try:
        since = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        write_text(folder / HOLDER, json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}) + "\n")
        yield
    finally:
        _held.discard(key)
        with suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def refuse_held(folder: Path) -> None:
    """Look whether another process holds a folder; nothing is written.

    Raises:
        UserError: see :func:`hold`.
    """
    if folder.resolve() in _held or not (folder / HOLDER).exists():
        return
    with suppress(NoLocksError):
        lock = _acquire(folder / LOCK, seconds=PATIENCE)
        if lock is None:
            raise _in_use(folder)
        lock.release()


def _in_use(folder: Path) -> UserError:
    try:
        holder = read_json(folder / HOLDER, "holder", remedy="")
        who = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (UserError, KeyError):  # it has the lock, and writes its name just now
        who = "another process"
    return UserError(f"{folder} is in use by {who}: wait until it ends, or choose another folder")


def _acquire(path: Path, *, seconds: float) -> BaseFileLock | None:
    """The lock on a file, or None where it is held for so many seconds (below 0: wait)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path))
        if not isinstance(lock, SoftFileLock):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the soft lock, which is refused below
                lock.acquire(timeout=seconds)
    except Timeout:
        return None
    except NotImplementedError:
        raise _no_locks(path) from None
    except OSError as error:
        if error.errno in _UNABLE:
            raise _no_locks(path) from None
        raise UserError(f"cannot write {path}: {error.strerror or error}: choose another folder") from None
    if isinstance(lock, SoftFileLock):  # a file that stays when its holder is killed
        lock.release()
        raise _no_locks(path)
    return lock


def _no_locks(path: Path) -> NoLocksError:
    return NoLocksError(f"{path.parent} cannot be locked: its file system, or the operating system, has no locks")
