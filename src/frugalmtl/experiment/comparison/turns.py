"""Turns in a folder that several processes use: they train side by side, and whatever measures time does so alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from frugalmtl.core.disk.locks import Locks

CLAIMS = "claims"
"""Folder of the locks of a sweep; where there is none, one command uses the comparison's folder, and holds it."""
_WORK = "work"


def working(folder: Path) -> AbstractContextManager[None]:
    """Use the machine for the block, beside other processes of a sweep; waits while one of them measures.

    Args:
        folder: of the comparison or sweep.
    """
    return Locks(folder / CLAIMS).share(_WORK) if (folder / CLAIMS).is_dir() else nullcontext()


def measuring(folder: Path) -> AbstractContextManager[None]:
    """Have the machine alone for the block: waits for what the other processes of a sweep are at, and they wait then.

    A process that is killed ends its turn, whichever it was.

    Args:
        folder: of the comparison or sweep.
    """
    return Locks(folder / CLAIMS).alone(_WORK) if (folder / CLAIMS).is_dir() else nullcontext()
