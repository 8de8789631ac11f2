"""Eval mode for a while, and facts of a module: device, number format, whether values decide what runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into eval mode; afterwards every submodule has the mode it had before, also after an exception.

    Modes are kept per submodule: a trainer may hold some batch normalisations in eval mode while the rest trains.
    """
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in before:
            part.training = training


def device_of(module: nn.Module) -> torch.device:
    """Device of the first parameter or buffer; the CPU for a module without any."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def dtype_of(module: nn.Module) -> torch.dtype:
    """Number format of the first floating-point parameter or buffer; float32 for a module without any."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def is_data_dependent(module: nn.Module) -> bool:
    """Whether the module itself says that what it runs depends on the values of its input."""
    return bool(getattr(module, "data_dependent", False))
