"""A training that is killed at the n-th thing it does to its checkpoints; run as a program or in a forked process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from tests.support.tiny_training import run


def train_until_killed(folder: Path, kill_at: int) -> None:
    """Train; send SIGKILL to this process before file operation ``kill_at`` among the checkpoints (0: never)."""
    torch.set_num_threads(1)  # sums are split by threads: the same number everywhere, or the last bits differ
    seen = 0
    watched = str(folder / "checkpoints")

    def watch(_event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if any(
            isinstance(argument, str | os.PathLike) and os.fspath(argument).startswith(watched)
            for argument in arguments
        ):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if kill_at:
        sys.addaudithook(watch)
    run(folder, "stitched", "uncertainty", checkpoint_every=2)


if __name__ == "__main__":
    train_until_killed(Path(sys.argv[1]), 0)
