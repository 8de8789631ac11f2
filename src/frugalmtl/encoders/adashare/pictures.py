"""Heat maps of policies: what runs, how it was learned, and which tasks are alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frugalmtl.core.types import Heatmap
from frugalmtl.encoders.adashare.budget import Mask, Odds
from frugalmtl.encoders.adashare.policy import History


def pictures(
    policy: Mask, probability: Odds, history: History, tasks: Sequence[str], blocks: Sequence[str]
) -> list[Heatmap]:
    """The policy, its probabilities, both over the search, and the correlation of the tasks.

    Args:
        policy: that the network runs, ``[T, L]``.
        probability: ``P(run)``, ``[T, L]``.
        history: of the search.
        tasks: names of the rows.
        blocks: names of the columns.
    """
    rows, columns = list(tasks), list(blocks)
    maps = [
        Heatmap(
            "policy",
            "Blocks that each task runs",
            rows,
            columns,
            policy.astype(float).tolist(),
            "1: the task runs the block; 0: it skips it. Tasks share what they compute as long as their rows are equal "
            "from the left.",
        ),
        Heatmap(
            "run_probability",
            "Probability that a task runs a block",
            rows,
            columns,
            probability.tolist(),
            "Softmax of the task's two logits; 0.5 is undecided.",
        ),
    ]
    moments = history.moments()
    for number, task in enumerate(tasks if len(moments) > 1 else ()):
        maps.append(
            Heatmap(
                f"search_{number + 1}",
                f"Probability of each block over the search: {task}",
                [f"cycle {cycle + 1}" for cycle, _ in moments],
                columns,
                [values[number].tolist() for _, values in moments],
                "At the beginning of a cycle of both turns; blocks whose choice was not yet open were run.",
            )
        )
    if len(rows) > 1:
        maps.append(
            Heatmap(
                "policy_correlation",
                "Correlation of the tasks' run probabilities over the blocks",
                rows,
                rows,
                correlation(probability).tolist(),
                "Pearson correlation; empty where a task's probabilities are all the same.",
                limits=(-1.0, 1.0),
            )
        )
    return maps


def correlation(probability: Odds) -> Odds:
    """Pearson correlation of the rows ``[T, L] -> [T, T]``; NaN for rows that do not vary (by more than rounding)."""
    centred = probability - probability.mean(1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    norms = np.where(norms > 1e-6, norms, np.nan)
    result: Odds = np.clip(centred @ centred.T / norms[:, None] / norms[None, :], -1.0, 1.0)
    return result
