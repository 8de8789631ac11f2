"""Best weights of a stage: better scores replace them, scores that are no numbers do not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from frugalmtl.core.recipe import HOLDOUT
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
    model, kept = build_model(), BestWeights(Told(losses), HOLDOUT)
    weight = next(model.parameters())
    for number in range(len(losses)):
        torch.nn.init.constant_(weight, float(number))
        kept.judge(model, number)
    kept.take_over(model)
    assert (weight == best).all()


class Rising(Scored):
    """Of a score, the more the better."""

    def gain(self, scores: Scores, reference: Scores) -> float:
        changes = [value["iou"] / reference[name]["iou"] - 1.0 for name, value in scores.items()]
        return sum(changes) / len(changes)


def judged(rows: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each epoch is the best so far, by the scores of two tasks."""
    kept = BestWeights(Rising(lambda _: {}), keep=False)
    model = build_model()
    epochs = [{"parts": {"iou": one}, "edges": {"iou": other}} for one, other in rows]
    return [bool(kept.judge(model, number, scores)["best"]) for number, scores in enumerate(epochs)]


def test_epochs_that_trade_one_task_for_another_do_not_replace_each_other_forever() -> None:
    """Of 1 : 2 and 2 : 1 each gains 25 % over the other on average."""
    there, back = ({"a": {"iou": one}, "b": {"iou": other}} for one, other in ((1.0, 2.0), (2.0, 1.0)))
    assert Rising(lambda _: {}).gain(there, back) == Rising(lambda _: {}).gain(back, there) == 0.25
    assert judged([(1.0, 2.0), (2.0, 1.0), (1.0, 2.0)]) == [True, False, False]
    assert judged([(1.0, 2.0), (0.95, 2.5), (1.0, 2.4), (1.0, 2.5)]) == [True, True, True, True]


def test_patience_counts_what_is_judged_alone() -> None:
    kept, model = BestWeights(Scored(lambda _: {}), keep=False, first=2, patience=2), build_model()
    overs, best = [], []
    for number, loss in enumerate([0.1, 0.2, 0.5, 0.6, None, 0.4, 0.5, None, 0.45]):
        record = kept.judge(model, number, None if loss is None else {"depth": {"loss": loss}})
        best.append(record.get("best"))
        overs.append(kept.over)
    assert best == [None, None, True, False, None, True, False, None, False]
    assert overs == [False] * 8 + [True]
    assert kept.weights == {}
