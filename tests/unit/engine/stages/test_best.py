"""Best weights of a stage: better scores replace them, scores that are no numbers do not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from frugalmtl.core.types import Scores
from frugalmtl.engine.stages.best import BestWeights
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import Scored, build_model


class Told(Scored):
    """Losses of one task, one after the other."""

    def __init__(self, losses: Sequence[float]) -> None:
        super().__init__(lambda _: {})
        self.losses = iter(losses)

    def scores(self, model: MultiTaskModel, stream: str) -> Scores:
        return {"depth": {"loss": next(self.losses)}}


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ((0.5, 0.3, 0.4), 1),
        ((0.5, 0.5), 0),
        ((0.5, math.nan, 0.6), 0),
        ((0.5, math.nan, 0.4), 2),
        ((math.nan, 0.5, math.nan), 1),
    ],
)
def test_the_best_epoch_is_kept(losses: Sequence[float], best: int) -> None:
    model, kept = build_model(), BestWeights(Told(losses))
    weight = next(model.parameters())
    for number in range(len(losses)):
        torch.nn.init.constant_(weight, float(number))
        kept.judge(model)
    kept.take_over(model)
    assert (weight == best).all()
