"""Multiply-adds of every block of a backbone, its branch and its shortcut apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from frugalmtl.backbones.base import Backbone, State
from frugalmtl.backbones.views.lookup import residual_of, view_of
from frugalmtl.core.counting import MacCounter, dtype_of, on_meta


@dataclass(frozen=True)
class BlockMacs:
    """Multiply-adds of a block per image.

    Attributes:
        branch: of what is not run if the block is skipped; of a block without shortcut, all it does.
        shortcut: of the projection, which runs also if the block is skipped.
        after: of what follows the sum; only with the branch.
    """

    branch: float
    shortcut: float = 0.0
    after: float = 0.0

    @property
    def total(self) -> float:
        """Of the whole block."""
        return self.branch + self.shortcut + self.after


def macs_per_block(backbone: Backbone, image_size: tuple[int, int]) -> dict[str, BlockMacs]:
    """``{name: multiply-adds per image}`` of all blocks in order of execution, counted on what runs (on shapes alone).

    A block whose shortcut is not known counts as one that has none. They add up to the backbone without its neck.

    Args:
        backbone: any mode; it stays as it is.
        image_size: height and width.
    """
    network = on_meta(backbone)
    macs: dict[str, BlockMacs] = {}
    state: State = torch.empty(1, 3, *image_size, dtype=dtype_of(backbone), device="meta")
    with MacCounter(network) as counter:
        for info in backbone.blocks:
            macs[info.name], state = _count(network.get_submodule(info.name), state, counter)
    return macs


def _count(block: nn.Module, state: State, counter: MacCounter) -> tuple[BlockMacs, State]:
    """Multiply-adds of one block on this state, and the state behind it."""
    view = residual_of(block) if view_of(block) is not None else None
    ticks = [counter.macs()]
    if view is None or not isinstance(state, torch.Tensor):
        state = block(state)
        return BlockMacs(float(counter.macs() - ticks[0])), state
    shortcut = view.shortcut(state)
    ticks.append(counter.macs())
    branch = view.branch(state)
    ticks.append(counter.macs())
    state = view.after(shortcut + branch)
    ticks.append(counter.macs())
    return BlockMacs(*(float(ticks[end] - ticks[end - 1]) for end in (2, 1, 3))), state
