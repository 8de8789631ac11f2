"""Shares of blocks and tokens that run, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from frugalmtl.encoders.adamtl.layout import GatedStage

KINDS = ("blocks", "tokens")
"""What is skipped, in the order of shares and targets."""


class Usage:
    r"""Sums up in float32 what runs in a pass, of the union and of each group of policies alone.

    The share of blocks of an image is their number over that of all gated ones. The share of tokens is

        sum_b w_b (tokens of block b that run) / sum_b w_b (all tokens of block b)

    where a token of a block that is off does not run.

    Args:
        weights: w per token of each block.
        groups: names of the groups of policies.
    """

    def __init__(self, weights: Mapping[str, float], groups: Sequence[str]) -> None:
        self.weights, self.groups = weights, tuple(groups)
        self._runs: list[Tensor] = []
        self._alone: list[Tensor] = []
        self._tokens: list[Tensor] = []
        self._tokens_alone: list[Tensor] = []
        self._total = 0.0

    def add_blocks(self, runs: Tensor, alone: Tensor) -> None:
        """Masks of a stage's blocks: of the union ``[B, n]``, and of each group ``[G, B, n]``."""
        self._runs.append(runs.float())
        self._alone.append(self._by_group(alone))

    def add_tokens(self, stage: GatedStage, position: int, mask: Tensor, alone: Tensor) -> None:
        """Masks of a block's tokens, of the stage whose blocks came last: ``[B, h, w]`` and ``[G, B, h, w]``."""
        weight = self.weights[stage.blocks[position]]
        self._total += weight * mask.shape[-2] * mask.shape[-1]
        self._tokens.append(weight * mask.float().sum((-2, -1)) * self._runs[-1][:, position])
        counts = self._by_group(alone).sum((-2, -1))
        self._tokens_alone.append(weight * counts * self._alone[-1][..., position])

    def shares(self) -> Tensor:
        """Shares of blocks and tokens of the union, ``[B, 2]``."""
        return self._shares(self._runs, self._tokens)

    def statistics(self) -> dict[str, Tensor]:
        """Means over the images, of the union and of each group alone; without gradients."""
        means = {"on": self.shares().detach().mean(0)}
        if len(self.groups) > 1:
            alone = self._shares(self._alone, self._tokens_alone).mean(1)
            means |= {f"on.{group}": alone[number] for number, group in enumerate(self.groups)}
        return {f"{kind}_{name}": mean[number] for name, mean in means.items() for number, kind in enumerate(KINDS)}

    def _by_group(self, alone: Tensor) -> Tensor:
        """What has no networks is the same for all groups."""
        return alone.detach().float().expand(len(self.groups), *alone.shape[1:])

    def _shares(self, blocks: list[Tensor], tokens: list[Tensor]) -> Tensor:
        return torch.stack([torch.cat(blocks, -1).mean(-1), torch.stack(tokens).sum(0) / self._total], -1)
