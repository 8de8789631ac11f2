"""The argument ``--device`` and the caption that the benchmarks share."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def add_device(parser: argparse.ArgumentParser, cuda: str = "on the GPU") -> None:
    """The argument ``--device``.

    Args:
        parser: of the benchmark.
        cuda: what is other on a GPU, for the help.
    """
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help=f"cuda: {cuda}")


def chosen_device(options: argparse.Namespace) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        SystemExit: there is none.
    """
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda needs a GPU, but torch sees none: leave it out")
    return torch.device(options.device)


def refuse_cuda(options: argparse.Namespace, subject: str) -> None:
    """Check that a benchmark of the CPU was not asked for another device.

    Args:
        options: with ``--device``.
        subject: what is measured.

    Raises:
        SystemExit: it was.
    """
    if options.device == "cuda":
        raise SystemExit(f"--device cuda: {subject} on the CPU alone: leave it out")


def caption(device: str | torch.device, *packages: str) -> str:
    """GPU if it is one, processor with its instruction sets, threads, load and versions, for the head of a table.

    Args:
        device: that was measured on.
        packages: beside torch, whose versions matter.
    """
    import torch

    from frugalmtl.experiment.runs.environment import environment, hardware

    facts = environment()
    versions = ", ".join(f"{name} {facts['versions'][name]}" for name in ("torch", *packages))
    gpu = f", CUDA {torch.version.cuda}" if torch.device(device).type == "cuda" else ""
    return f"{hardware(facts)}{gpu}, load {os.getloadavg()[0]:.1f} at the start; {versions}"
