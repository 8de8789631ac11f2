"""The place of this process among several training processes; with one process, the first of one."""

from __future__ import annotations

import os

import torch
from torch import distributed

from frugalmtl.channels.times import Machine
from frugalmtl.channels.times.machine import NumberFormat
from frugalmtl.engine import TrainSettings

_FORMATS: dict[str, NumberFormat] = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}


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


def machine(settings: TrainSettings) -> Machine:
    """The machine that a training runs on: :func:`device`, in the number format of its precision."""
    return Machine.here(
        "cuda" if device(settings).type == "cuda" else "cpu", _FORMATS.get(settings.precision, "float32")
    )
