"""Held-out images of AdaMTL's calibration: what they cost, and what is on for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from frugalmtl.core.types import Decisions
from frugalmtl.encoders.adamtl.efficiency.cost import ImageCost
from frugalmtl.encoders.adamtl.layout import token_decision
from frugalmtl.encoders.adamtl.parts import Rule
from frugalmtl.encoders.adamtl.policy import Policies


class HeldOutImages:
    """What the policies do on some images, see :class:`~frugalmtl.encoders.adamtl.efficiency.calibration.HeldOut`.

    Args:
        images: batches ``[B, 3, H, W]``.
        policies: of all that is read.
        decide: what runs under a rule.
        cost: multiply-adds of each image, where some decisions are sure.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        policies: Policies,
        decide: Callable[[Tensor, Rule], Decisions],
        cost: Callable[[frozenset[str]], ImageCost],
    ) -> None:
        self.images, self.policies, self.decide, self.cost = tuple(images), policies, decide, cost
        self._costs: dict[frozenset[str], ImageCost] = {}

    def mean_cost(self, rule: Rule) -> float:
        """Mean multiply-adds."""
        if rule.sure not in self._costs:
            self._costs[rule.sure] = self.cost(rule.sure)
        return float(torch.cat([self._costs[rule.sure](self.decide(image, rule)) for image in self.images]).mean())

    def always_on(self, rule: Rule) -> frozenset[str]:
        """Names of the decisions of networks that are on for all images; of tokens, wherever their block is."""
        if not self.policies.nets:
            return frozenset()
        decided = [self.decide(image, rule) for image in self.images]
        sure = set()
        for stage in self.policies.stages:
            runs = torch.cat([each[stage.decision] for each in decided])
            if runs.all() and not self.policies.certain_blocks(stage):
                sure.add(stage.decision)
            for number, block in enumerate(stage.blocks):
                name, here = token_decision(block), runs[:, number]
                tokens = torch.cat([each[name] for each in decided])[here]
                if len(tokens) and tokens.all() and not self.policies.certain_tokens(block):
                    sure.add(name)
        return frozenset(sure)
