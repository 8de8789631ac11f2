"""Executor of a network with gated blocks, by what is selected of each; it knows no policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.base import State, tensors_of
from frugalmtl.core.types import Decisions
from frugalmtl.encoders.adamtl.layout import GatedStage, token_decision
from frugalmtl.encoders.adamtl.options import ExecutionOptions
from frugalmtl.encoders.adamtl.runtime.block import RaggedBlock
from frugalmtl.encoders.adamtl.runtime.selection import NOTHING, Selection, Wanted, counted
from frugalmtl.encoders.adamtl.runtime.windows import GridSize

Select = Callable[[int, Tensor], Selection]
"""Number of a block in its stage and the state in front of it, ``[B, h, w, C]`` -> what it computes."""

Enter = Callable[[GatedStage, Tensor], Select]
"""A stage and the state in front of its first gated block -> what its blocks compute."""


class Executor:
    """Pass through a backbone whose gated blocks compute what is selected, and nothing else.

    Args:
        network: the backbone.
        stages: its gated blocks.
        blocks: the same, as ragged blocks by name.
        execution: how they run.
    """

    def __init__(
        self,
        network: Backbone,
        stages: Sequence[GatedStage],
        blocks: Mapping[str, RaggedBlock],
        execution: ExecutionOptions,
    ) -> None:
        self.network, self.stages, self.blocks, self.execution = network, tuple(stages), dict(blocks), execution

    def states(self, image: Tensor, enter: Enter) -> dict[int, State]:
        """Image ``[B, 3, H, W]`` -> the state behind every stage."""
        gated = {stage.number: stage for stage in self.stages}
        states: dict[int, State] = {}
        state: State = image
        for number in range(len(self.network.stages)):
            select: Select | None = None
            at = 0
            for names in self._runs(number):
                if names[0] not in self.blocks:
                    state = self.network.get_submodule(names[0])(state)
                    continue
                (grid,) = tensors_of(state)
                select = select or enter(gated[number], grid)
                blocks = [self.blocks[name] for name in names]
                state = run_blocks(blocks, grid, select, first=at, keep=_shares_memory(grid, states))
                at += len(names)
            states[number] = state
        return states

    def planned(self, decisions: Decisions, image: Tensor) -> Enter:
        """Selections under decisions that are known in front of the first block; the host waits once.

        Args:
            decisions: on all gated blocks.
            image: of which only the shape, the device and the number format count.
        """
        wanted = [block for stage in self.stages for block in self._wanted(stage, decisions, image)]
        rows = iter([block.selection(counts) for block, counts in zip(wanted, counted(wanted), strict=True)])
        plan = {stage.number: [next(rows) for _ in stage.blocks] for stage in self.stages}
        return lambda stage, _: lambda number, _: plan[stage.number][number]

    def _wanted(self, stage: GatedStage, decisions: Decisions, image: Tensor) -> Iterator[Wanted]:
        size = GridSize(image.shape[0], image.shape[2] // stage.stride, image.shape[3] // stage.stride)
        for number, name in enumerate(stage.blocks):
            images, tokens = decisions[stage.decision][:, number], decisions[token_decision(name)]
            yield wanted_of(self.blocks[name], images, tokens, size, image, self.execution)

    def _runs(self, stage: int) -> Iterator[list[str]]:
        """Names of the blocks of a stage: gated ones that follow each other together, others alone."""
        run: list[str] = []
        for info in self.network.blocks:
            if info.stage != stage:
                continue
            if info.name in self.blocks:
                run.append(info.name)
                continue
            if run:
                yield run
            yield [info.name]
            run = []
        if run:
            yield run


def run_blocks(blocks: Sequence[RaggedBlock], grid: Tensor, select: Select, *, first: int = 0, keep: bool) -> Tensor:
    """``[B, h, w, C]`` -> the state behind some blocks that follow each other.

    Args:
        blocks: the blocks.
        grid: state in front of the first.
        select: asked in front of each block.
        first: number of the first block in its stage.
        keep: whether the tensor ``grid`` must stay as it is; else it may be written over.
    """
    size, channels = GridSize(*grid.shape[:3]), grid.shape[3]
    padded = torch.compiler.is_exporting() or any(block.table(size, grid).padding is not None for block in blocks)
    rows = grid.reshape(size.tokens, channels)
    if padded:
        rows = torch.cat([rows, rows.new_zeros(1, channels)])
    ours = padded or not keep
    for number, block in enumerate(blocks, first):
        selection = select(number, rows[: size.tokens].view(grid.shape))
        if selection is NOTHING:
            continue
        if not ours and not rows.requires_grad:
            rows, ours = rows.clone(), True
        rows = block(rows, size, selection)
    return rows[: size.tokens].view(grid.shape)


def wanted_of(
    block: RaggedBlock,
    images: Tensor,
    tokens: Tensor | None,
    size: GridSize,
    like: Tensor,
    execution: ExecutionOptions,
) -> Wanted:
    """Masks of what a block computes.

    Args:
        block: the block.
        images: bool ``[B]``: the images that it runs on.
        tokens: bool ``[B, h, w]``: their tokens that it computes; None for all.
        size: of the grids.
        like: a tensor of the state's device and number format.
        execution: how blocks run.
    """
    windowed, norm = execution.attention == "windows", execution.dropped == "norm"
    return Wanted.of(images, tokens, block.table(size, like), size, windowed=windowed, norm=norm)


def _shares_memory(grid: Tensor, states: Mapping[int, State]) -> bool:
    memory = grid.untyped_storage()._cdata
    return any(tensor.untyped_storage()._cdata == memory for state in states.values() for tensor in tensors_of(state))
