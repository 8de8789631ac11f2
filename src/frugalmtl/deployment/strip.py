"""What does nothing at inference leaves the module."""

from __future__ import annotations

from timm.layers.drop import DropBlock2d, DropPath
from torch import nn

from frugalmtl.deployment.observe import Observation
from frugalmtl.deployment.replace import replace_modules

PASSIVE = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    DropPath,
    DropBlock2d,
)


def strip_passive(root: nn.Module) -> None:
    """Replace dropout, drop-path and the like by ``nn.Identity``, and take them out of ``nn.Sequential``; in place."""
    replace_modules(root, {module: nn.Identity() for module in root.modules() if type(module) in PASSIVE})
    for module in list(root.modules()):
        if type(module) is nn.Sequential:
            for name, child in list(module.named_children()):
                if type(child) is nn.Identity:
                    delattr(module, name)


def strip_unused(root: nn.Module, seen: Observation) -> None:
    """Delete parameters and buffers that no operation of ``seen`` read, and modules that held nothing else; in place.

    A module whose parameters are used for some inputs only says so by an attribute ``data_dependent = True``; it and
    what is inside it keeps everything.
    """
    _strip(root, seen)


def _strip(module: nn.Module, seen: Observation) -> None:
    if getattr(module, "data_dependent", False):
        return
    for name, child in list(module.named_children()):
        container = isinstance(child, (nn.ModuleList, nn.ModuleDict))
        if not container and _holds_tensors(child) and _idle(child, seen):
            module.add_module(name, nn.Identity())
        else:
            _strip(child, seen)
    for name, parameter in list(module.named_parameters(recurse=False)):
        if id(parameter) not in seen.reads:
            setattr(module, name, None)
    for name, buffer in list(module.named_buffers(recurse=False)):
        if id(buffer) not in seen.reads:
            setattr(module, name, None)


def _holds_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _idle(module: nn.Module, seen: Observation) -> bool:
    """Whether nothing of the module ran or was read."""
    parts = list(module.modules())
    if any(part in seen.calls or getattr(part, "data_dependent", False) for part in parts):
        return False
    tensors = [*module.parameters(), *module.buffers()]
    return not any(id(tensor) in seen.reads for tensor in tensors)
