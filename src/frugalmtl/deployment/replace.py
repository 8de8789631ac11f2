"""Exchange of modules inside a module."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def replace_modules(root: nn.Module, exchange: Mapping[nn.Module, nn.Module]) -> None:
    """Put ``exchange[child]`` in the place of every ``child`` of ``root``, wherever it is registered."""
    for parent in list(root.modules()):
        for name, child in list(parent._modules.items()):  # named_children() leaves out a child's second name
            if child is not None and child in exchange:
                parent.add_module(name, exchange[child])
