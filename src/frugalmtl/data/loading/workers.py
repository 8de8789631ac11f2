"""Number of worker processes that load the batches of a training process."""

from __future__ import annotations

import os
from typing import Literal

Workers = int | Literal["auto"]
"""Processes that load data for each training process; ``"auto"`` follows :func:`worker_count`."""

MOST = 8
"""Workers that are enough for one process on a GPU; more of them mostly take memory."""

CORES_PER_WORKER = 4
"""Cores of a training on the CPU for each worker: loading a sample costs a fraction of a training step on it."""


def cores() -> int:
    """Cores that this process may use: those it is bound to, of all that the machine has."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(workers: Workers, *, on_cpu: bool, batches: int, processes: int = 1, decoded: bool = False) -> int:
    """The number that ``"auto"`` stands for; a number stays as it is.

    The cores that this process may use are shared evenly by the training processes of this machine. On a GPU each
    training process keeps one core of its share to launch kernels, and takes the others for workers, 1 at least and 8
    at most. On the CPU the training itself fills the cores (those that torch's threads may use), and one worker for
    every four of them is as many as it needs: none on fewer than four. Samples that lie decoded in memory get none
    there, since a core loads and augments hundreds of them a second; a GPU is faster than that. No split gets more
    workers than it has batches to follow its first one, so a split of a single batch is loaded in the training process.

    Args:
        workers: as the settings say.
        on_cpu: whether this process trains on the CPU rather than on a GPU.
        batches: of this process in one epoch.
        processes: training processes on this machine.
        decoded: whether the samples lie decoded in memory (:attr:`~frugalmtl.data.Split.decoded`).
    """
    if workers != "auto":
        return workers
    if on_cpu and decoded:
        return 0
    import torch  # here, since settings are read, and their help is printed, without it

    share = max(1, cores() // processes)
    most = min(share, torch.get_num_threads()) // CORES_PER_WORKER if on_cpu else max(1, share - 1)
    return max(0, min(most, MOST, batches - 1))
