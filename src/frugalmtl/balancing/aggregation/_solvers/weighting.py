"""Aggregators whose weights torchjd computes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.tasks import Task


class TorchJDAggregator(GramianWeightedAggregator):
    """An aggregator that takes its weights from a weighting of torchjd's, which reads the inner products alone."""

    def __init__(self, tasks: Sequence[Task], **options: Any) -> None:
        super().__init__(tasks, **options)
        self.weighting = self.make_weighting()

    @staticmethod
    @abstractmethod
    def make_weighting() -> nn.Module:
        """The weighting: inner products ``[T, T]`` -> weights ``[T]``."""

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of torchjd's."""
        weights: Tensor = self.weighting(gramian)
        return weights
