"""Choice of the discrete policy that a network keeps, and its budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frugalmtl.core.budget import HERE, Clock, TimeOf
from frugalmtl.core.recipe import HOLDOUT
from frugalmtl.encoders._training import StageView
from frugalmtl.encoders.adashare.budget import Goal, Mask, Measure, Odds
from frugalmtl.encoders.adashare.options import PolicyOptions
from frugalmtl.encoders.adashare.policy import drawn_odds


class PolicyChoice(nn.Module):
    """The policy that was decided on, if one was, and how it is decided.

    Args:
        tasks: number T of tasks.
        blocks: number L of gated blocks.
        options: where the policy comes from.

    Attributes:
        chosen: whether a block runs, ``[T, L]``.
        decided: whether ``chosen`` counts.
        seed: of all draws; from the global generator, so that it follows the run's seed.
        goal: multiply-adds that were planned; 0 without a budget.
        opened: number of blocks, from the last, whose choice is open.
        open_blocks: the same number on the host.
        budget: the budget and what policies cost, once planned.
    """

    chosen: Tensor
    decided: Tensor
    seed: Tensor
    goal: Tensor
    opened: Tensor

    def __init__(self, tasks: int, blocks: int, options: PolicyOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("chosen", torch.ones(tasks, blocks, dtype=torch.bool))
        self.register_buffer("decided", torch.zeros((), dtype=torch.bool))
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("goal", torch.zeros((), dtype=torch.float64))
        self.register_buffer("opened", torch.tensor(blocks))
        self.budget: Goal | None = None
        self.open_blocks = blocks
        self._mask: Mask | None = None
        self._loaded = False

    def mask(self) -> Mask | None:
        """The policy ``[T, L]``; None if none was decided on."""
        return self._mask

    def decide(self, policy: Mask) -> None:
        """Keep this policy."""
        self.chosen.copy_(torch.from_numpy(policy))
        self.decided.fill_(value=True)
        self._mask = policy.copy()

    def reopen(self, open_blocks: int) -> None:
        """Forget the policy: the choice of so many blocks, from the last, is open."""
        self.decided.fill_(value=False)
        self.opened.fill_(open_blocks)
        self._mask, self.open_blocks = None, open_blocks

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Bring what the host remembers up to date with the buffers, which it would have to wait for in every step.

        A policy that came with weights is the one that they were trained for.
        """
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if f"{prefix}decided" in state_dict:
            self._loaded = bool(self.decided)
            self._mask, self.open_blocks = self.chosen.cpu().numpy() if self._loaded else None, int(self.opened)

    def plan(self, goal: Goal, odds: Odds, latency: Clock | None) -> None:
        """Check the budget, and decide on a policy that no search finds.

        Args:
            goal: the budget and what policies cost.
            odds: log-odds of the policy that was taken from another run, ``[T, L]``.
            latency: tells the time of the model as it would be deployed.

        Raises:
            UserError: the budget cannot be kept.
        """
        before = self.mask()
        place, between = (latency.place, latency.between) if latency is not None else (HERE["eager"], 0)
        goal.plan(self._measured(latency), self.budget, place=place, between=between)
        self.budget = goal
        self.goal.fill_(goal.macs)
        if self.options.policy == "given" and before is None:
            self.reopen(self.open_blocks)  # the structure is set later, from a checkpoint or a run yet to come
        elif self.options.policy != "learned" and not self._loaded:
            self.decide(goal.fitted(self._odds_of_source(odds, before, goal), self._measured(latency)))
        elif before is not None:
            self.decide(before)
        else:
            self.reopen(self.open_blocks)

    def select(self, odds: Odds, view: StageView) -> None:
        """Decide on the best of the most likely policy and of some draws, by the scores on held-out samples.

        Each is brought to the budget before it is scored. The best has the largest mean relative gain over the first
        one; of equal ones the first counts. Nothing is scored if there is but one.

        Args:
            odds: log-odds of the search, ``[T, L]``.
            view: of the searched model.
        """
        candidates: dict[bytes, tuple[Mask, Odds]] = {}
        measured = self._measured(view.latency)
        for number, drawn in enumerate(self._candidates(odds)):
            if self.budget is None:
                policy = drawn >= 0
            else:
                policy = self.budget.fitted(drawn, measured) if number == 0 else self.budget.brought(drawn)
            candidates.setdefault(policy.tobytes(), (policy, drawn))
        policies = list(candidates.values())
        best, chances = policies[self._best([policy for policy, _ in policies], view)]
        if self.budget is not None and best is not policies[0][0]:
            best = self.budget.fitted(chances, measured)
        self.decide(best)

    def _best(self, policies: Sequence[Mask], view: StageView) -> int:
        """Index of the policy with the best scores."""
        if len(policies) == 1:
            return 0
        gains, reference = [], None
        for policy in policies:
            self.decide(policy)
            scores = view.scores(HOLDOUT)
            reference = scores if reference is None else reference
            gain = view.gain(scores, reference)
            gains.append(gain if np.isfinite(gain) else -np.inf)
        return int(np.argmax(gains))

    def _candidates(self, odds: Odds) -> Iterator[Odds]:
        """Log-odds of the most likely policy and of draws, as ``choose`` says."""
        generator = torch.Generator().manual_seed(int(self.seed))
        if self.options.choose in ("best", "argmax"):
            yield odds
        draws = {"best": self.options.candidates, "argmax": 0, "sampled": 1}[self.options.choose]
        for _ in range(draws):
            yield _drawn(odds, generator)

    def _odds_of_source(self, odds: Odds, taken: Mask | None, goal: Goal) -> Odds:
        """Log-odds whose sign is the policy that is wanted before the budget counts."""
        generator = torch.Generator().manual_seed(int(self.seed))
        if self.options.policy == "random":
            return _drawn(np.zeros_like(odds), generator)
        if self.options.policy == "cost_order":
            return goal.odds_by_cost()
        if self.options.choose == "sampled":
            return _drawn(odds, generator)
        if self.options.choose == "best" and taken is not None:
            return np.where(taken, np.abs(odds), -np.maximum(np.abs(odds), 1e-9))
        return odds

    def _measured(self, latency: TimeOf | None) -> Measure | None:
        """Milliseconds of the model deployed with policies."""
        if latency is None:
            return None

        def measure(policies: Sequence[Mask]) -> list[float]:
            return latency([partial(self.decide, policy) for policy in policies])

        return measure


def _drawn(odds: Odds, generator: torch.Generator) -> Odds:
    drawn: Odds = drawn_odds(torch.from_numpy(odds), generator).numpy()
    return drawn
