"""Sparsity: the share of channels that tasks keep for themselves, as a penalty and for the log."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from frugalmtl.encoders.interrogate.gates import Places


def sparsity(soft: Tensor, weighting: Tensor, targets: Tensor | None, scale: float = 1.0) -> Tensor:
    """Eq. (4): ``scale / T sum_t max(0, sum_c weight_c sigmoid_tc - tau_t)``; without targets the plain mean.

    Args:
        soft: sigmoids of the gates' scores, ``[T, C]`` over the channels of all sites.
        weighting: ``[C]``, adding up to 1.
        targets: tau of every task ``[T]``, or None.
        scale: see :func:`penalty_scale`.
    """
    kept = (soft * weighting).sum(1)
    if targets is not None:
        kept = (kept - targets).clamp(min=0.0)
    return scale * kept.mean()


def penalty_scale(places: Places, reduction: str) -> float:
    """What the loss is multiplied with: 1 for a mean over channels, the mean width of the layers for a sum."""
    return len(places.columns) / len(places.widths) if reduction == "sum" else 1.0


def private_shares(scores: Tensor, weighting: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
    """Own channels per task, as the penalty (``own_soft``) and as the deployed network (``own``) sees them.

    Args:
        scores: of the gates, ``[T, C]`` over the channels of all sites.
        weighting: ``[C]``, adding up to 1.
        tasks: their names.
    """
    hard, soft = ((scores > 0) * weighting).sum(1), (scores.sigmoid() * weighting).sum(1)
    shares = {f"own.{task}": value for task, value in zip(tasks, hard, strict=True)}
    return shares | {f"own_soft.{task}": value for task, value in zip(tasks, soft, strict=True)}
