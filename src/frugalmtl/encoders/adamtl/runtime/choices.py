"""Choices of the policies while the network runs: what each gated block computes, from its input."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from frugalmtl.core.types import Decisions
from frugalmtl.encoders.adamtl.layout import GatedStage, token_decision
from frugalmtl.encoders.adamtl.runtime.block import RaggedBlock
from frugalmtl.encoders.adamtl.runtime.executor import wanted_of
from frugalmtl.encoders.adamtl.runtime.policies import DeployedPolicies
from frugalmtl.encoders.adamtl.runtime.selection import NOTHING, Rows, Selection, counted, rows_of
from frugalmtl.encoders.adamtl.runtime.windows import GridSize


class PolicyChoices:
    """Choices of one pass over a batch.

    Where the host may know how many images and tokens are on, what is off is not even begun; a trace for export, in
    which nobody knows, asks for the tokens of all images, and gathers by index always.

    Args:
        policies: what gives margins.
        blocks: the gated blocks by name.
        keys: of the images, for policies that read them.
        decisions: what runs instead of what the margins call for; None for those.
        margins: takes all margins by name; None where they are not wanted.
    """

    def __init__(
        self,
        policies: DeployedPolicies,
        blocks: Mapping[str, RaggedBlock],
        keys: Tensor | None,
        decisions: Decisions | None = None,
        margins: dict[str, Tensor] | None = None,
    ) -> None:
        self.policies, self.blocks, self.keys, self.decisions = policies, blocks, keys, decisions
        self.margins = margins

    def enter(self, stage: GatedStage, state: Tensor) -> StageChoices:
        """Choose among the blocks of a stage by the state in front of the first, ``[B, h, w, C]``."""
        margins = None
        if self.margins is not None or not self.policies.certain_blocks(stage):
            margins = self.policies.block_margins(stage, state, self.keys)
        if self.margins is not None and margins is not None:
            self.margins[stage.decision] = margins
        if self.decisions is not None:
            return StageChoices(self, stage, margins, self.decisions[stage.decision])
        return StageChoices(self, stage, margins, None if margins is None else margins > 0)


class StageChoices:
    """Choices in one stage, block after block.

    Args:
        whole: those of the pass.
        stage: the stage.
        margins: of its blocks, ``[B, n]``, if they were computed.
        on: bool ``[B, n]``: the blocks that run; None for all.
    """

    def __init__(self, whole: PolicyChoices, stage: GatedStage, margins: Tensor | None, on: Tensor | None) -> None:
        self.whole, self.stage, self.margins, self.on = whole, stage, margins, on
        self.counts = None if on is None or torch.compiler.is_exporting() else on.sum(0).tolist()

    def __call__(self, number: int, state: Tensor) -> Selection:
        """What block ``number`` of the stage computes, by the state in front of it ``[B, h, w, C]``."""
        name, policies = self.stage.blocks[number], self.whole.policies
        images = Rows()
        if self.on is not None and self.counts is not None:
            images = rows_of(self.on[:, number], self.counts[number])
        if images.none and self.whole.margins is None:
            return NOTHING
        tokens = None
        if self.whole.margins is not None or not policies.certain_tokens(name):
            margins = self._token_margins(number, state, images)
            tokens = margins > 0
            if self.whole.margins is not None:
                self.whole.margins[token_decision(name)] = margins
        if self.whole.decisions is not None:
            tokens = self.whole.decisions[token_decision(name)]
        return self._selection(self.whole.blocks[name], number, tokens, state)

    def _token_margins(self, number: int, state: Tensor, images: Rows) -> Tensor:
        """``[B, h, w]``; where the block is off, the negative distance of its margin from 0."""
        name, keys = self.stage.blocks[number], self.whole.keys
        table = self.whole.blocks[name].table(GridSize(*state.shape[:3]), state)
        if images.index is None and not images.none:
            return self.whole.policies.token_margins(name, state, keys, table)
        off = -self.margins[:, number].abs() if self.margins is not None else state.new_full((state.shape[0],), -1.0)
        margins = off[:, None, None].expand(state.shape[:3]).contiguous()
        if images.index is None:
            return margins
        inputs = state.index_select(0, images.index)
        chosen = None if keys is None else keys.index_select(0, images.index)
        return margins.index_copy(0, images.index, self.whole.policies.token_margins(name, inputs, chosen, table))

    def _selection(self, block: RaggedBlock, number: int, tokens: Tensor | None, state: Tensor) -> Selection:
        size = GridSize(*state.shape[:3])
        on = state.new_ones(state.shape[0], dtype=torch.bool) if self.on is None else self.on[:, number]
        if tokens is None and self.on is None:
            return Selection(Rows(), Rows())
        wanted = wanted_of(block, on, tokens, size, state, self.whole.policies.rest.execution)
        if torch.compiler.is_exporting():
            return wanted.selection(None)
        if tokens is None and self.counts is not None:  # whole images: their number is known
            count = self.counts[number]
            return wanted.selection([count * len(block.table(size, state).places), count * size.area])
        return wanted.selection(counted([wanted])[0])
