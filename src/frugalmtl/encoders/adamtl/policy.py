"""Policies of AdaMTL: networks that give logits for blocks and tokens of each image, and what stands in for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import log
from typing import Literal

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.encoders.adamtl.chance import image_keys, logistic
from frugalmtl.encoders.adamtl.layout import GatedStage, token_decision
from frugalmtl.encoders.adamtl.options import DecisionOptions, ExecutionOptions, Source
from frugalmtl.encoders.adamtl.windows import spread, window_mean

SURE = 1e4
"""Logit, and its negative, of what is not chosen: no threshold moves it over 0."""

COMMON = "all"
"""Name of the one group of policies that does not depend on tasks."""

_TOKENS = 2**20
"""Positions of the tokens of a block in pseudo-random policies."""


class BlockPolicy(nn.Module):
    """Tokens in front of a stage -> a logit for each of its gated blocks.

    ``"pooled"``: ``Linear(mean over tokens of ReLU(Linear(x)))``, for any image size (ours). ``"flatten"``:
    ``Linear(all tokens of ReLU(Linear(x)) side by side)``, for one size (as published).

    Args:
        channels: C of the tokens.
        hidden: width of the hidden layer.
        blocks: number n of gated blocks.
        grid: height and width of the grid of tokens for ``"flatten"``; None pools.
    """

    def __init__(self, channels: int, hidden: int, blocks: int, grid: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.grid = grid
        self.hidden = nn.Linear(channels, hidden)
        self.logits = nn.Linear(hidden if grid is None else hidden * grid[0] * grid[1], blocks)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, n]``.

        Raises:
            UserError: a grid of another size than it was built for.
        """
        check_grid(self.grid, tokens)
        hidden = self.hidden(tokens).relu()
        if self.grid is None:
            pooled: Tensor = self.logits(hidden.mean((1, 2)))
            return pooled
        flat: Tensor = self.logits(hidden.flatten(1))
        return flat


def check_grid(grid: tuple[int, int] | None, tokens: Tensor) -> None:
    """Check the size of what a policy reads that was built for one.

    Args:
        grid: height and width of the grid that it was built for; None for any.
        tokens: ``[B, h, w, C]``.

    Raises:
        UserError: a grid of another size.
    """
    if grid is not None and tuple(tokens.shape[1:3]) != grid:
        raise UserError(
            f"block_policy: flatten takes images of one size, with a grid of {grid[0]} x {grid[1]} tokens, but got "
            f"{tokens.shape[1]} x {tokens.shape[2]}: give images of the size that it was trained for, or train with "
            "block_policy: pooled"
        )


class TokenPolicy(nn.Module):
    """Tokens in front of a block -> a logit for each: ``Linear(ReLU(Linear(x)))``.

    Args:
        channels: C of the tokens.
        hidden: width of the hidden layer.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, hidden)
        self.logit = nn.Linear(hidden, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[..., C]`` -> ``[...]``."""
        logit: Tensor = self.logit(self.hidden(tokens).relu())
        return logit[..., 0]


class GroupPolicies(nn.Module):
    """The networks of one group: of a task, or of all tasks.

    Args:
        stages: gated blocks.
        options: forms of the networks.
        skip: what may be skipped; what may not has no network.

    Attributes:
        blocks: a :class:`BlockPolicy` by number of the stage, empty if blocks are not skipped.
        tokens: a :class:`TokenPolicy` by :meth:`token_key`, empty if tokens are not skipped.
    """

    def __init__(self, stages: Sequence[GatedStage], options: DecisionOptions, skip: str) -> None:
        super().__init__()
        self.by_block = options.token_net_per_block
        self.blocks, self.tokens = nn.ModuleDict(), nn.ModuleDict()
        for stage in stages:
            if skip != "tokens":
                grid = _grid(options, stage)
                self.blocks[str(stage.number)] = BlockPolicy(stage.channels, options.hidden, len(stage.blocks), grid)
            for block in stage.blocks if skip != "blocks" else ():
                key = self.token_key(stage, block)
                if key not in self.tokens:
                    self.tokens[key] = TokenPolicy(stage.channels, options.hidden)

    def token_key(self, stage: GatedStage, block: str) -> str:
        """Name of the network of a block's tokens."""
        return block.replace(".", "_") if self.by_block else str(stage.number)


class Policies(nn.Module):
    """Logits for blocks and tokens, whatever they come from; a group of policies per task, or one for all.

    With ``"learned"`` policies they are those of the networks. ``"random"``: logistic noise that follows from pixels
    and position (:mod:`~frugalmtl.encoders.adamtl.chance`), above 0 for the target share. ``"always_on"``: ``+SURE``.
    ``"static"``: ``+SURE`` or ``-SURE`` for the same blocks of all images. What may not be skipped has ``+SURE``.

    Args:
        stages: gated blocks.
        tasks: names of the tasks.
        options: what decides.
        execution: what may be skipped, and in which unit.
        targets: shares of blocks and tokens of random policies.

    Attributes:
        source: what decides; may be set to ``"always_on"``.
        common: whether one group decides for all tasks.
        sure: names of decisions that are on for every image, and are not asked for; they have ``+SURE``.
        nets: :class:`GroupPolicies` by group; empty unless the policies are learned.
        runs: whether each gated block of the network runs in ``"static"`` policies, bool ``[L]``.
    """

    runs: Tensor

    def __init__(
        self,
        stages: Sequence[GatedStage],
        tasks: Sequence[str],
        options: DecisionOptions,
        execution: ExecutionOptions,
        targets: tuple[float, float],
    ) -> None:
        super().__init__()
        self.stages, self.source, self.execution = tuple(stages), options.policy, execution
        self.targets, self.sure, self.common = targets, frozenset[str](), not options.task_aware
        groups = () if options.policy != "learned" else tuple(tasks) if options.task_aware else (COMMON,)
        self.nets = nn.ModuleDict({group: GroupPolicies(stages, options, execution.skip) for group in groups})
        self.register_buffer("runs", torch.ones(sum(len(stage.blocks) for stage in stages), dtype=torch.bool))
        self._stage_of = {block: stage for stage in stages for block in stage.blocks}

    def groups(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """Groups of policies that decide for these tasks."""
        if self.source != "learned" or self.common:
            return (COMMON,) if tasks else ()
        return tuple(task for task in tasks if task in self.nets)

    def of(self, tasks: Sequence[str], source: Source | None = None, sure: Collection[str] = ()) -> Policies:
        """Policies of some tasks alone, that hold the same networks.

        Args:
            tasks: their names.
            source: another source than its own, see :attr:`source`.
            sure: see :attr:`sure`.
        """
        part = Policies((), (), DecisionOptions(policy="always_on"), self.execution, self.targets)
        part.stages, part.source, part._stage_of = self.stages, source or self.source, self._stage_of
        part.runs, part.sure, part.common = self.runs, frozenset(sure), self.common
        if part.source == "learned":
            part.nets = nn.ModuleDict({group: self.nets[group] for group in self.groups(tasks)})
        return part

    def keys(self, image: Tensor) -> Tensor | None:
        """Image ``[B, 3, H, W]`` -> keys of random policies, int64 ``[B]``; None for others."""
        return image_keys(image) if self.source == "random" else None

    def certain_blocks(self, stage: GatedStage) -> bool:
        """Whether all gated blocks of a stage run, whatever the image."""
        return self.execution.skip == "tokens" or self.source == "always_on" or stage.decision in self.sure

    def certain_tokens(self, block: str) -> bool:
        """Whether all tokens of a block run where the block does, whatever the image."""
        dense = self.execution.skip == "blocks" or self.source in ("always_on", "static")
        return dense or token_decision(block) in self.sure

    def block_logits(
        self, stage: GatedStage, state: Tensor, keys: Tensor | None, groups: Sequence[str] | None = None
    ) -> Tensor:
        """State in front of a stage's first gated block ``[B, h, w, C]`` -> logits of its n blocks, ``[G, B, n]``.

        Args:
            stage: gated blocks.
            state: of any images.
            keys: of the same images, see :meth:`keys`.
            groups: names of those that decide; None for all.
        """
        shape = (1, state.shape[0], len(stage.blocks))
        if self.certain_blocks(stage):
            return state.new_full(shape, SURE)
        numbers = torch.arange(stage.first, stage.first + len(stage.blocks), device=state.device)
        if self.source == "static":
            row = self.runs[numbers].to(state.dtype) * (2 * SURE) - SURE
            return row.expand(shape)
        if self.source == "random":
            return self._random(keys, numbers, 0)[None]
        nets = self._nets(groups)
        return torch.stack([net.blocks[str(stage.number)](state) for net in nets])

    def token_logits(
        self, block: str, state: Tensor, keys: Tensor | None, places: Tensor, groups: Sequence[str] | None = None
    ) -> Tensor:
        """State in front of a gated block ``[B, h, w, C]`` -> logits of its tokens, ``[G, B, h, w]``.

        Where whole windows are decided on, all tokens of a window have the mean of their logits; random policies draw
        once for a window.

        Args:
            block: its name.
            state: of any images.
            keys: of the same images, see :meth:`keys`.
            places: windows of the block, see :meth:`~frugalmtl.backbones.views.TokenHalves.places`.
            groups: names of those that decide; None for all.
        """
        size = (state.shape[1], state.shape[2])
        if self.certain_tokens(block):
            return state.new_full((1, state.shape[0], *size), SURE)
        stage, by_window = self._stage_of[block], self.execution.mask_unit == "window"
        if self.source == "random":
            start = (len(self.runs) + stage.first + stage.blocks.index(block)) * _TOKENS
            count = len(places) if by_window else size[0] * size[1]
            drawn = self._random(keys, torch.arange(start, start + count, device=state.device), 1)[None]
            return spread(drawn, places, size) if by_window else drawn.reshape(1, state.shape[0], *size)
        nets = self._nets(groups)
        logits = torch.stack([net.tokens[net.token_key(stage, block)](state) for net in nets])
        return spread(window_mean(logits, places), places, size) if by_window else logits

    def _nets(self, groups: Sequence[str] | None) -> list[GroupPolicies]:
        chosen = [self.nets[group] for group in (self.nets if groups is None else groups)]
        return [net for net in chosen if isinstance(net, GroupPolicies)]

    def _random(self, keys: Tensor | None, positions: Tensor, kind: Literal[0, 1]) -> Tensor:
        if keys is None:
            raise ValueError("random policies need the keys of the images")
        share = min(max(self.targets[kind], 1e-6), 1 - 1e-6)
        return logistic(keys, positions) + log(share / (1 - share))


def _grid(options: DecisionOptions, stage: GatedStage) -> tuple[int, int] | None:
    """Height and width of the grid in front of a stage's gated blocks, for networks that need it."""
    if options.block_policy == "pooled" or options.image_size is None:
        return None
    height, width = options.image_size
    return -(-height // stage.stride), -(-width // stage.stride)
