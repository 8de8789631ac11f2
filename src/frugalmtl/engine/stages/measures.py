"""Measures of a model under training: scores, cost and single batches, for evaluations and for the end of a stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NoReturn, Protocol

import torch

from frugalmtl.core.budget import Decision
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch, Scores
from frugalmtl.encoders import StageView
from frugalmtl.model import MultiTaskModel


class Measures(Protocol):
    """What can be measured of a model while it trains; called on all processes, may switch modes."""

    def evaluate(self, model: MultiTaskModel) -> Scores:
        """Scores on the split that is evaluated during training."""
        ...

    def batches(self, stream: str) -> Iterable[Batch]:
        """All samples of a stream once, in stored order, not augmented."""
        ...

    def scores(self, model: MultiTaskModel, stream: str) -> Scores:
        """Scores on the samples of a stream."""
        ...

    def gain(self, scores: Scores, reference: Scores) -> float:
        """Mean over the tasks of the relative change of their primary score, positive where ``scores`` are better."""
        ...

    def macs(self, model: MultiTaskModel) -> float:
        """Multiply-adds per image of the deployed model."""
        ...

    def latency(self, model: MultiTaskModel, decisions: Sequence[Decision] = ()) -> list[float]:
        """Milliseconds per image of the deployed model, see :class:`~frugalmtl.core.budget.Clock`."""
        ...


def stage_view(model: MultiTaskModel, measures: Measures | None, device: torch.device) -> StageView:
    """What an encoder may ask for when a stage ends.

    Args:
        model: every answer is of this model as it then stands.
        measures: without them every question is refused.
        device: that batches are moved to.
    """
    if measures is None:
        return StageView(_refused, _refused, _refused, _refused, _refused)

    def batches(stream: str) -> Iterable[Batch]:
        return (batch.to(device) for batch in measures.batches(stream))

    return StageView(
        batches,
        partial(measures.scores, model),
        measures.gain,
        partial(measures.macs, model),
        partial(measures.latency, model),
    )


def _refused(*_: object) -> NoReturn:
    raise UserError("the encoder asks for scores or cost when a stage ends: give the job 'measures'")
