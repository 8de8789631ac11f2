"""Removal of modules and tensors that do nothing at inference."""

from __future__ import annotations

from timm.layers.drop import DropBlock2d, DropPath
from torch import nn

from frugalmtl.deployment.observe import Observation, data_dependent_parts
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


def strip_passive(root: nn.Module, seen: Observation) -> None:
    """Replace dropout, drop-path and the like by ``nn.Identity``, and take them out of ``nn.Sequential``; in place.

    A ``nn.Sequential`` inside a data-dependent module keeps its length: the module may index it. So does one that
    ``seen`` did not call: its owner goes through what is inside by itself, perhaps side by side with another one.
    """
    replace_modules(root, {module: nn.Identity() for module in root.modules() if type(module) in PASSIVE})
    routed = data_dependent_parts(root)
    for module in list(root.modules()):
        if type(module) is nn.Sequential and module in seen.calls and module not in routed:
            for name, child in list(module._modules.items()):  # named_children() leaves out a child's second name
                if type(child) is nn.Identity:
                    delattr(module, name)


def strip_unused(root: nn.Module, seen: Observation) -> None:
    """Delete parameters and buffers that no operation of ``seen`` read, and modules that held nothing else; in place.

    A module whose parameters are used for some inputs only says so by an attribute ``data_dependent = True``; it and
    what is inside it keeps everything.
    """
    _strip(root, seen, data_dependent_parts(root))


def _strip(module: nn.Module, seen: Observation, routed: set[nn.Module]) -> None:
    if module in routed:
        return
    for name, child in list(module._modules.items()):
        if child is None:
            continue
        container = isinstance(child, (nn.ModuleList, nn.ModuleDict))
        if not container and _holds_tensors(child) and _idle(child, seen, routed):
            module.add_module(name, nn.Identity())
        else:
            _strip(child, seen, routed)
    for name, parameter in list(module.named_parameters(recurse=False)):
        if id(parameter) not in seen.reads:
            setattr(module, name, None)
    for name, buffer in list(module.named_buffers(recurse=False)):
        if id(buffer) not in seen.reads:
            setattr(module, name, None)


def _holds_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _idle(module: nn.Module, seen: Observation, routed: set[nn.Module]) -> bool:
    """Whether nothing of the module ran or was read."""
    if any(part in seen.calls or part in routed for part in module.modules()):
        return False
    tensors = [*module.parameters(), *module.buffers()]
    return not any(id(tensor) in seen.reads for tensor in tensors)
