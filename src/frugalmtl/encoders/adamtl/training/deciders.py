"""Deciders of a pass: policies that learn to be on, draws of a training, and decisions without draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from frugalmtl.core.types import Decisions
from frugalmtl.encoders.adamtl.efficiency.usage import Usage
from frugalmtl.encoders.adamtl.layout import GatedStage, token_decision
from frugalmtl.encoders.adamtl.options import Union
from frugalmtl.encoders.adamtl.policy import Policies
from frugalmtl.encoders.adamtl.training.masks import noisy, soft, union_mask


class AllOn:
    """Everything runs, and nothing is decided."""

    def blocks(self, stage: GatedStage, state: Tensor) -> None:
        """All of them."""

    def tokens(self, stage: GatedStage, position: int, state: Tensor, places: Tensor) -> None:
        """All of them."""


class Initialising(AllOn):
    """Everything runs; soft masks of the policies are compared with that (equation 2).

    Args:
        policies: give logits.
        keys: of the images, see :meth:`~frugalmtl.encoders.adamtl.policy.Policies.keys`.
        groups: of policies that learn.
    """

    def __init__(self, policies: Policies, keys: Tensor | None, groups: Sequence[str]) -> None:
        self.policies, self.keys, self.groups = policies, keys, tuple(groups)
        self._off: list[Tensor] = []

    def blocks(self, stage: GatedStage, state: Tensor) -> None:
        """All of them."""
        logits = self.policies.block_logits(stage, state, self.keys, self.groups)
        self._off.append((1.0 - soft(noisy(logits))).sum((0, 2)))

    def tokens(self, stage: GatedStage, position: int, state: Tensor, places: Tensor) -> None:
        """All of them."""
        logits = self.policies.token_logits(stage.blocks[position], state, self.keys, places, self.groups)
        self._off.append((1.0 - soft(noisy(logits))).mean((-2, -1)).sum(0))

    def off(self) -> Tensor:
        """``sum_groups sum_blocks (1 - M_block) + (1 - mean_tokens M_token)`` of each image, ``[B]``."""
        return torch.stack(self._off).sum(0)


class Drawn:
    """Hard draws of a training, with gradients; policies without networks decide as without draws.

    Args:
        policies: give logits.
        keys: of the images.
        groups: of policies whose union decides.
        union: its gradient.
        weights: of tokens, see :class:`~frugalmtl.encoders.adamtl.efficiency.usage.Usage`.
    """

    def __init__(
        self,
        policies: Policies,
        keys: Tensor | None,
        groups: Sequence[str],
        union: Union,
        weights: Mapping[str, float],
    ) -> None:
        self.policies, self.keys, self.groups, self.union = policies, keys, tuple(groups), union
        self.usage = Usage(weights, groups)

    def blocks(self, stage: GatedStage, state: Tensor) -> Tensor:
        """``[B, n]``."""
        drawn = self._drawn(self.policies.block_logits(stage, state, self.keys, self.groups))
        runs = union_mask(drawn, self.union)
        self.usage.add_blocks(runs, drawn > 0)
        return runs

    def tokens(self, stage: GatedStage, position: int, state: Tensor, places: Tensor) -> Tensor:
        """``[B, h, w]``."""
        logits = self.policies.token_logits(stage.blocks[position], state, self.keys, places, self.groups)
        drawn = self._drawn(logits)
        mask = union_mask(drawn, self.union)
        self.usage.add_tokens(stage, position, mask, drawn > 0)
        return mask

    def _drawn(self, logits: Tensor) -> Tensor:
        return noisy(logits) if self.policies.source == "learned" else logits.float()


class Settled:
    """Decisions without draws, and their margins; image by image.

    Args:
        policies: give logits.
        keys: of the images.
        groups: of policies whose union decides.
        weights: of tokens, see :class:`~frugalmtl.encoders.adamtl.efficiency.usage.Usage`.
        threshold: that logits must be above.
        decisions: what runs; None for the policies' choice.

    Attributes:
        margins: by name of the decision.
    """

    def __init__(
        self,
        policies: Policies,
        keys: Tensor | None,
        groups: Sequence[str],
        weights: Mapping[str, float],
        threshold: float = 0.0,
        decisions: Decisions | None = None,
    ) -> None:
        self.policies, self.keys, self.groups = policies, keys, tuple(groups)
        self.threshold, self.decisions = threshold, decisions
        self.usage = Usage(weights, groups)
        self.margins: dict[str, Tensor] = {}
        self._runs = torch.ones(0)

    def blocks(self, stage: GatedStage, state: Tensor) -> Tensor:
        """``[B, n]``."""
        margins = self.policies.block_logits(stage, state, self.keys, self.groups).float() - self.threshold
        self._runs = self._chosen(stage.decision, margins.amax(0))
        self.usage.add_blocks(self._runs, margins > 0)
        return self._runs.float()

    def tokens(self, stage: GatedStage, position: int, state: Tensor, places: Tensor) -> Tensor:
        """``[B, h, w]``; none of a block that is off."""
        name, runs = stage.blocks[position], self._runs[:, position, None, None]
        margins = self.policies.token_logits(name, state, self.keys, places, self.groups).float() - self.threshold
        away = -self.margins[stage.decision][:, position, None, None].abs()
        mask = self._chosen(token_decision(name), torch.where(runs, margins.amax(0), away)) & runs
        self.usage.add_tokens(stage, position, mask, margins > 0)
        return mask.float()

    def _chosen(self, name: str, margins: Tensor) -> Tensor:
        self.margins[name] = margins
        return margins > 0 if self.decisions is None else self.decisions[name]
