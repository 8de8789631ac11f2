"""Multiply-adds of a prefix tree, without building or running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from frugalmtl.backbones.views import BlockMacs
from frugalmtl.encoders._policy_tree.chain import GatedChain, Policies, ReadLevels


class TreeCost:
    """Exact multiply-adds of the trees of one backbone and some tasks.

    With tasks in order of the depth that they read, deepest first, let ``c_i`` be the number of gated blocks on which
    the policy of task i agrees with that of an earlier task before they part, the most over all earlier ones; the
    first has -1. Behind g decisions task i has a history of its own if ``c_i < g``. So

        macs = sum_i [ sum_b always_b (c_i < g_b) + sum_g run_ig branch_g (c_i <= g) ]

    over the blocks b (with ``g_b`` gated blocks before b) and gated blocks g up to the stage that task i needs;
    ``always`` is a projection, or a whole block that is not gated.

    Args:
        chain: of the backbone.
        block_macs: per block.
        tasks: names of the tasks, in the order of the masks' rows.
        read_levels: levels that the tasks read; None for all.
    """

    def __init__(
        self,
        chain: GatedChain,
        block_macs: Mapping[str, BlockMacs],
        tasks: Sequence[str],
        read_levels: ReadLevels | None = None,
    ) -> None:
        macs = [block_macs[block.name] for block in chain.blocks]
        stages = np.array([block.stage for block in chain.blocks])
        gated = np.array([block.gated for block in chain.blocks], dtype=bool)
        pairs = zip(macs, chain.blocks, strict=True)
        always = np.array([part.shortcut if block.gated else part.total for part, block in pairs])
        branch = np.array([part.branch + part.after for part in macs])[gated]
        ends = [max(chain.stages_of(chain.read(task, read_levels)), default=-1) for task in tasks]
        self.order = sorted(range(len(tasks)), key=lambda index: -ends[index])
        depth = np.array([ends[index] for index in self.order]).reshape(-1, 1)
        self.before = np.cumsum(gated) - gated
        self.always = always * (stages <= depth)
        self.branch = branch * (stages[gated] <= depth)
        self.numbers = np.arange(len(branch))
        self.task_names = tuple(tasks)

    def __call__(self, policy: NDArray[np.bool_]) -> float:
        """``[T, L]``, whether each task runs each gated block -> multiply-adds per image of the tree's blocks."""
        runs = np.asarray(policy, dtype=bool)[self.order]
        count = runs.shape[1]
        parts = runs[:, None] != runs[None]
        agreed = np.where(parts.any(2), parts.argmax(2), count) if count else np.zeros(parts.shape[:2], dtype=int)
        agreed[np.triu_indices(len(runs))] = -1
        common = agreed.max(1, keepdims=True)
        total = self.always[common < self.before].sum() + self.branch[runs & (common <= self.numbers)].sum()
        return float(total)


def tree_macs(
    policies: Policies,
    chain: GatedChain,
    block_macs: Mapping[str, BlockMacs],
    read_levels: ReadLevels | None = None,
) -> float:
    """Multiply-adds per image of the blocks of the tree of these policies; :class:`TreeCost` for many policies.

    Args:
        policies: of the tasks.
        chain: of the backbone.
        block_macs: per block.
        read_levels: levels that the tasks read; None for all.

    Raises:
        UserError: a policy of another length than the chain.
    """
    decisions = chain.checked(policies)
    mask = np.array(list(decisions.values()), dtype=bool).reshape(len(decisions), len(chain.gated))
    return TreeCost(chain, block_macs, tuple(decisions), read_levels)(mask)
