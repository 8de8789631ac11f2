"""The place of this process among several training processes; with one process, the first of one."""

from __future__ import annotations

import os

import torch
from torch import distributed

from frugalmtl.engine import TrainSettings


def place() -> tuple[int, int]:
    """Index of this process, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def first() -> bool:
    """Whether this process writes and prints."""
    return place()[0] == 0


def launched_first() -> bool:
    """Whether this is the first of several processes, also before they are connected; a process by itself is."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def wait() -> None:
    """Go on when all processes are here."""
    if place()[1] > 1:
        distributed.barrier()


def device(settings: TrainSettings) -> torch.device:
    """Where a network is scored: this process's GPU if the settings allow one, else the CPU.

    Processes that train on GPUs can exchange nothing but what lies there, sums of metrics included.
    """
    if settings.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        index = int(os.environ.get("LOCAL_RANK", torch.cuda.current_device()))  # set before the processes are connected
        return torch.device("cuda", index)
    return torch.device("cpu")
