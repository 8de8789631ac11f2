"""Machine that layers are timed on, and the widths that it likes."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from frugalmtl.core.checks import UserError, positive

Runtime = Literal["eager", "graph", "onnxruntime"]
"""Who runs a layer: torch operation by operation, a captured CUDA graph, or onnxruntime."""
NumberFormat = Literal["float32", "bfloat16", "float16"]
"""Number format of weights and activations, in torch's words."""


@dataclass(frozen=True)
class Machine:
    """What the time of a layer depends on beside the layer.

    Attributes:
        device: kind of the processor.
        name: of the processor.
        instructions: of a CPU its widest vector instructions in torch's words (``"AVX512"``); of a GPU its compute
            capability (``"9.0"``).
        threads: of the CPU.
        dtype: number format.
        runtime: see :data:`Runtime`.
        versions: of what runs.

    Raises:
        UserError: a runtime that does not run on the device.
    """

    device: Literal["cpu", "cuda"]
    name: str
    instructions: str
    threads: int
    dtype: NumberFormat = "float32"
    runtime: Runtime = "eager"
    versions: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the values."""
        positive("threads", self.threads)
        if self.runtime == "graph" and self.device == "cpu":
            raise UserError("runtime: graph captures CUDA graphs: take device cuda, or runtime eager")
        if self.runtime == "onnxruntime" and (self.device, self.dtype) != ("cpu", "float32"):
            raise UserError("runtime: onnxruntime is timed on the CPU in float32 alone: take eager")

    @classmethod
    def here(
        cls, device: Literal["cpu", "cuda"] = "cpu", dtype: NumberFormat = "float32", runtime: Runtime = "eager"
    ) -> Machine:
        """This machine, with the threads that torch uses now.

        Raises:
            UserError: there is no such device.
        """
        import torch  # here, since the words above stand in the help of a command, which loads without torch

        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("device: cuda needs a GPU, but torch sees none: take cpu")
        packages = ("torch", "onnxruntime") if runtime == "onnxruntime" else ("torch",)
        versions = {package: _version(package) for package in packages}
        if device == "cuda":
            capability = ".".join(map(str, torch.cuda.get_device_capability()))
            name, instructions = torch.cuda.get_device_name(), capability
        else:
            name, instructions = processor_name(), torch.backends.cpu.get_cpu_capability()
        return cls(device, name, instructions, torch.get_num_threads(), dtype, runtime, versions)

    def __str__(self) -> str:
        """One line for a caption or a message."""
        return f"{self.name}, {self.instructions}, {self.threads} threads, {self.runtime}, {self.dtype}"


def good_multiple(machine: Machine) -> int:
    """Channels whose multiples a machine likes.

    On a CPU the numbers of one vector register: 16 with AVX-512 and 8 with AVX2, as with whatever else. On a GPU 64 in
    half formats: kernels for tensor cores compute tiles of 64 output channels and more, and pad what is less. In
    float32 8: products of float32 leave tensor cores alone unless TF32 is allowed, smaller tiles do, and eight numbers
    are one sector of memory.

    >>> good_multiple(Machine("cpu", "a processor", "AVX512", 2))
    16
    """
    if machine.device == "cuda":
        return 8 if machine.dtype == "float32" else 64
    return 16 if machine.instructions.upper().startswith("AVX512") else 8


def processor_name() -> str:
    """The CPU's name, as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
