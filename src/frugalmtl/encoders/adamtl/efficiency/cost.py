"""Multiply-adds of AdaMTL's deployed model on each image, by what is decided on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone, State
from frugalmtl.core.counting import MacCounter, dtype_of, evaluating, on_meta
from frugalmtl.core.types import Decisions
from frugalmtl.encoders.adamtl.layout import GatedStage, token_decision, token_halves
from frugalmtl.encoders.adamtl.options import ExecutionOptions
from frugalmtl.encoders.adamtl.policy import Policies
from frugalmtl.encoders.adamtl.windows import active_windows


@dataclass(frozen=True)
class GatedMacs:
    """Multiply-adds of a gated block.

    Attributes:
        policy: of the token policies of all groups, on one image.
        window: of the attention in one window.
        token: of the MLP of one token.
        places: windows of its grid, ``[windows, area]``.
        size: height and width of its grid.
    """

    policy: float
    window: float
    token: float
    places: Tensor
    size: tuple[int, int]

    @property
    def whole(self) -> float:
        """Of the block with all its tokens."""
        return self.policy + self.window * len(self.places) + self.token * self.size[0] * self.size[1]


class ImageCost:
    r"""Multiply-adds of each image of a batch, decoder included:

        rest + sum_b on_b (policy_b + window_b windows_b + token_b tokens_b)

    over the gated blocks b, where ``windows_b`` are those that attend and ``tokens_b`` those that go through the MLP.
    ``rest`` is what always runs: blocks without a gate, the pyramid, the block policies, the decoder. All parts are
    counted on what runs, on shapes alone.

    Args:
        network: the backbone.
        stages: its gated blocks.
        policies: of the deployed tasks.
        execution: how blocks run.
        image_size: height and width.
        decoder_macs: of the deployed decoder.
        levels: of the pyramid that are read; None for all.

    Attributes:
        rest: see above.
        gated: by name of the block.
        backbone: multiply-adds of the backbone alone, its pyramid included, all on.
    """

    def __init__(
        self,
        network: Backbone,
        stages: Sequence[GatedStage],
        policies: Policies,
        execution: ExecutionOptions,
        image_size: tuple[int, int],
        decoder_macs: float = 0.0,
        levels: Collection[int] | None = None,
    ) -> None:
        self.stages, self.execution, self.decoder_macs = tuple(stages), execution, decoder_macs
        self.rest, self.backbone, self.gated = decoder_macs, 0.0, dict[str, GatedMacs]()
        copied = cast(Backbone, on_meta(network))
        if levels is not None:
            copied.keep_levels(levels)
        self._count(copied, cast(Policies, on_meta(policies)), network, image_size)

    def __call__(self, decisions: Decisions) -> Tensor:
        """Decisions on a batch -> multiply-adds of each image, float64 ``[B]``."""
        total: Tensor | None = None
        for stage in self.stages:
            runs = decisions[stage.decision]
            for number, block in enumerate(stage.blocks):
                macs, mask = self.gated[block], decisions[token_decision(block)]
                windows = torch.full((len(mask),), len(macs.places), dtype=torch.float64, device=mask.device)
                if self.execution.attention == "windows":
                    windows = active_windows(mask, macs.places.to(mask.device)).sum(-1).double()
                of_block = macs.policy + macs.window * windows + macs.token * mask.sum((-2, -1)).double()
                added = torch.where(runs[:, number], of_block, 0.0)
                total = added if total is None else total + added
        if total is None:
            raise ValueError("there is no gated block")
        return total + self.rest

    @property
    def cheapest(self) -> float:
        """The least that an image may cost where blocks may be skipped, or else tokens."""
        if self.execution.skip != "tokens":
            return self.rest
        dense = self.execution.attention == "dense"
        return self.rest + sum(macs.policy + dense * macs.window * len(macs.places) for macs in self.gated.values())

    @property
    def dearest(self) -> float:
        """Where all runs."""
        return self.rest + sum(macs.whole for macs in self.gated.values())

    def with_blocks(self, runs: Sequence[bool]) -> float:
        """Where these gated blocks run with all their tokens, for every image; in order of execution."""
        blocks = (block for stage in self.stages for block in stage.blocks)
        return self.rest + sum(self.gated[block].whole for block, on in zip(blocks, runs, strict=True) if on)

    def _count(self, network: Backbone, policies: Policies, original: Backbone, image_size: tuple[int, int]) -> None:
        """Run all parts once, on shapes alone."""
        stage_of = {block: stage for stage in self.stages for block in stage.blocks}
        state: State = torch.empty(1, 3, *image_size, dtype=dtype_of(network), device="meta")
        keys = torch.empty(1, dtype=torch.int64, device="meta")
        states: dict[int, State] = {}
        with evaluating(policies), MacCounter(network) as counter:

            def since(before: int) -> float:
                return float(counter.macs() - before)

            for info in network.blocks:
                stage, before = stage_of.get(info.name), counter.macs()
                if stage is not None and isinstance(state, Tensor):
                    if info.name == stage.blocks[0]:
                        policies.block_logits(stage, state, keys)
                        self.rest += since(before)
                    self.gated[info.name] = self._gated(info.name, network, policies, original, state, counter)
                    before = counter.macs()
                    state = network.get_submodule(info.name)(state)
                else:
                    state = network.get_submodule(info.name)(state)
                    self.rest += since(before)
                self.backbone += since(before)
                states[info.stage] = state
            before = counter.macs()
            network.pyramid(states)
            self.rest += since(before)
            self.backbone += since(before)

    def _gated(
        self, block: str, network: Backbone, policies: Policies, original: Backbone, state: Tensor, counter: MacCounter
    ) -> GatedMacs:
        view, size = token_halves(network, block), (state.shape[1], state.shape[2])
        places = token_halves(original, block).places(*size)
        keys = torch.empty(1, dtype=torch.int64, device="meta")
        ticks = [counter.macs()]
        policies.token_logits(block, state, keys, places.to("meta"))
        ticks.append(counter.macs())
        view.attention(state)
        ticks.append(counter.macs())
        view.mlp(state)
        ticks.append(counter.macs())
        policy, attention, mlp = (float(end - start) for start, end in pairwise(ticks))
        return GatedMacs(policy, attention / len(places), mlp / (size[0] * size[1]), places, size)


def nearest_blocks(cost: ImageCost, goal: float) -> list[bool]:
    """Blocks that run for all images in the fixed policy, so that the cost is as near to a goal as can be.

    The dearest blocks are left out first (of equal ones the last), until the goal is met; then one block after the
    other is left out, taken back or exchanged for another, as long as that comes nearer.

    Args:
        cost: of the model.
        goal: multiply-adds.

    Returns:
        Whether each gated block runs, in order of execution.
    """
    macs = [cost.gated[block].whole for stage in cost.stages for block in stage.blocks]
    numbers = range(len(macs))
    runs = [True] * len(macs)
    for number in sorted(numbers, key=lambda number: (-macs[number], -number)):
        runs[number] = cost.with_blocks(runs) <= goal
    while True:
        changes = [{number} for number in numbers]
        changes += [{one, other} for one in numbers for other in range(one) if runs[one] != runs[other]]
        trials = [[on != (number in change) for number, on in enumerate(runs)] for change in changes]
        nearest = min(trials, key=lambda trial: abs(cost.with_blocks(trial) - goal))
        if not abs(cost.with_blocks(nearest) - goal) < abs(cost.with_blocks(runs) - goal):
            return runs
        runs = nearest


def weights_per_token(gated: Mapping[str, int], macs: Mapping[str, float], form: str) -> dict[str, float]:
    """Weight of a token of each block in the share of tokens.

    Args:
        gated: width of the tokens of each block.
        macs: of the MLP per token of each block.
        form: ``"macs"``, ``"width"`` (as published), or ``"none"``.
    """
    if form == "none":
        return dict.fromkeys(gated, 1.0)
    return {block: float(macs[block] if form == "macs" else width) for block, width in gated.items()}


def mlp_macs_per_token(network: Backbone, stages: Sequence[GatedStage]) -> dict[str, float]:
    """Multiply-adds of the MLP of one token, by gated block."""
    copied = cast(Backbone, on_meta(network))
    macs: dict[str, float] = {}
    with MacCounter(copied) as counter:
        for stage in stages:
            for block in stage.blocks:
                before = counter.macs()
                token_halves(copied, block).mlp(
                    torch.empty(1, 1, 1, stage.channels, device="meta", dtype=dtype_of(copied))
                )
                macs[block] = float(counter.macs() - before)
    return macs
