"""The environment of a measurement: versions, processor, threads, accelerators."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from frugalmtl import __version__
from frugalmtl.channels.times import processor_name

PACKAGES = ("torch", "torchvision", "timm", "torchjd", "torchmetrics", "lightning-fabric", "numpy")


def environment() -> dict[str, Any]:
    """Versions, processor with its widest vector instructions, threads and accelerator of this process."""
    versions = {"frugalmtl": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    accelerators = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "versions": versions,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerators": accelerators,
    }


def hardware(facts: dict[str, Any]) -> str:
    """One line for a table's caption."""
    machine = f"{facts['processor']}, {facts['instructions']}, {facts['cores']} cores, {facts['threads']} threads"
    return f"{machine}; {', '.join(facts['accelerators'])}" if facts["accelerators"] else machine
