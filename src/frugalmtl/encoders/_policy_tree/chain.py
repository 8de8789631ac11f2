"""Chain of blocks of a backbone, some of which a policy may skip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone, state_of
from frugalmtl.backbones.views import residual_blocks
from frugalmtl.core.checks import UserError, known
from frugalmtl.core.counting import evaluating

Policies = Mapping[str, Sequence[Any]]
"""``{task: whether it runs each gated block, in order of execution}``."""

ReadLevels = Mapping[str, Sequence[int]]
"""``{task: levels of its pyramid that are read}``; tasks that are missing read all."""

_CELLS = 2
"""Positions along one side of the coarsest state in a probe."""


@dataclass(frozen=True)
class ChainBlock:
    """One block.

    Attributes:
        name: of the block inside the backbone.
        stage: index of its stage.
        gated: whether policies decide on it; else it always runs.
        projects: whether a module stands on its shortcut, which runs also if the block is skipped.
    """

    name: str
    stage: int
    gated: bool
    projects: bool


@dataclass(frozen=True)
class GatedChain:
    """The blocks of a backbone in order of execution, and what its pyramid needs.

    Attributes:
        blocks: all blocks.
        level_stages: per level of the pyramid the last stage that it needs.
        pyramid_stages: stages whose states the pyramid reads.
        separate: whether each level needs one stage alone; else every level needs all.
    """

    blocks: tuple[ChainBlock, ...]
    level_stages: tuple[int, ...]
    pyramid_stages: tuple[int, ...]
    separate: bool

    @classmethod
    def of(cls, backbone: Backbone, gated: Collection[str] | None = None) -> GatedChain:
        """The chain of a backbone.

        Args:
            backbone: any mode; it stays as it is.
            gated: names of the blocks that policies decide on; None for all that have a shortcut.

        Raises:
            UserError: a block whose shortcut is not known, or one to be gated that has none.
        """
        views = residual_blocks(backbone)
        for name in gated or ():
            if views[known("block", name, views)] is None:
                raise UserError(f"the block {name} has no shortcut from its input to its output: it cannot be skipped")
        blocks = []
        for info in backbone.blocks:
            view = views[info.name]
            chosen = view is not None and (gated is None or info.name in gated)
            blocks.append(ChainBlock(info.name, info.stage, chosen, view is not None and view.projection is not None))
        needs = _level_needs(backbone)
        separate = all(len(stages) == 1 for stages in needs)
        last = tuple(max(stages) if separate else max(backbone.pyramid_stages) for stages in needs)
        return cls(tuple(blocks), last, tuple(backbone.pyramid_stages), separate)

    @property
    def gated(self) -> tuple[str, ...]:
        """Names of the gated blocks, in order of execution."""
        return tuple(block.name for block in self.blocks if block.gated)

    def read(self, task: str, read_levels: ReadLevels | None) -> tuple[int, ...]:
        """Levels that the task reads."""
        return tuple((read_levels or {}).get(task, range(len(self.level_stages))))

    def stages_of(self, levels: Sequence[int]) -> tuple[int, ...]:
        """Stages whose states these levels need, ascending."""
        if not levels:
            return ()
        if not self.separate:
            return self.pyramid_stages
        return tuple(sorted({self.level_stages[level] for level in levels}))

    def checked(self, policies: Policies) -> dict[str, tuple[bool, ...]]:
        """The policies as tuples.

        Raises:
            UserError: a policy of another length.
        """
        count = len(self.gated)
        for task, policy in policies.items():
            if len(policy) != count:
                raise UserError(
                    f"the policy of {task!r} must say of each of the {count} gated blocks whether it runs, but has "
                    f"{len(policy)} entries"
                )
        return {task: tuple(bool(runs) for runs in policy) for task, policy in policies.items()}


def _level_needs(backbone: Backbone) -> list[set[int]]:
    """Per level of the pyramid the stages whose states it depends on, found on states of noise."""
    weight = next(backbone.parameters())
    side = _CELLS * max(max(info.strides) for info in backbone.blocks)
    infos = {info.stage: info for info in backbone.blocks}  # the last block of every stage
    tensors: dict[int, list[Tensor]] = {}
    for stage in backbone.pyramid_stages:
        tensors[stage] = []
        for channels, stride in zip(infos[stage].channels, infos[stage].strides, strict=True):
            cells = side // stride
            shape = (1, cells, cells, channels) if backbone.channel_axis == -1 else (1, channels, cells, cells)
            tensors[stage].append(torch.ones(shape, dtype=weight.dtype, device=weight.device, requires_grad=True))
    owners = [stage for stage, group in tensors.items() for _ in group]
    sources = [tensor for group in tensors.values() for tensor in group]
    with evaluating(backbone), torch.enable_grad():
        levels = backbone.pyramid({stage: state_of(group) for stage, group in tensors.items()})
        rows = [torch.autograd.grad(level.sum(), sources, retain_graph=True, allow_unused=True) for level in levels]
    return [{stage for stage, gradient in zip(owners, row, strict=True) if gradient is not None} for row in rows]
