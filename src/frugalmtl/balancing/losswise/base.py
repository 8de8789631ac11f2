"""Losses -> one scalar -> one backward pass."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from frugalmtl.balancing.base import Balancer, Pass


class LossBalancer(Balancer):
    """A balancer whose update is the gradient of one scalar made from the losses.

    On several processes it runs under DistributedDataParallel; where losses are means over equally many labels per
    process, the update equals that of one process with the joint batch.
    """

    @abstractmethod
    def combine(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Unweighted losses -> the scalar to minimise, and the weights per task for the log."""

    def backward(self, step: Pass) -> dict[str, Tensor | float]:
        """One ordinary backward pass of the combined loss plus the penalty."""
        total, weights = self.combine(step.losses)
        step.backward(total if step.penalty is None else total + step.penalty)
        return weights


def weighted_sum(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """``sum_t w_t L_t``."""
    terms = [losses[name] * weights[name] for name in losses]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
