"""Best weights of a stage, by scores on data that it does not train on; the end of a training without better ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from frugalmtl.core.documents import parse_json
from frugalmtl.core.documents.json_values import json_text, with_nan
from frugalmtl.core.types import Scores
from frugalmtl.engine.stages.measures import Measures
from frugalmtl.model import MultiTaskModel

BEST, STOPPED = "best", "stopped"
"""Keys of an epoch's record: whether its scores are the best so far, and whether the training ends for want of better
ones."""


class BestWeights:
    """The weights of the epoch whose scores were best.

    An epoch is better than the best before it if its mean relative gain over that one is above 0, and that one has none
    over it (of two epochs that trade one task for another, both may gain on average); or if the best before it has no
    score to compare with. One whose scores are no numbers is not.

    Args:
        measures: take and compare scores.
        stream: that scores are taken on after every epoch; None for those of evaluations, where there are any.
        first: number of the epoch of the stage (0-based) that is judged first.
        keep: whether weights are kept.
        patience: epochs that are judged in a row without a better one, after which the training is over; 0 for never.

    Attributes:
        weights: everything that the model held then, on the CPU; empty before the first epoch.
        waited: epochs that were judged since then.
    """

    def __init__(
        self, measures: Measures, stream: str | None = None, *, first: int = 0, keep: bool = True, patience: int = 0
    ) -> None:
        self.measures, self.stream, self.first, self.keep, self.patience = measures, stream, first, keep, patience
        self.weights: dict[str, Tensor] = {}
        self.waited = 0
        self._scores: Scores = {}

    @property
    def over(self) -> bool:
        """Whether the training ends here."""
        return 0 < self.patience <= self.waited

    def judge(self, model: MultiTaskModel, epoch: int, scores: Scores | None = None) -> dict[str, Any]:
        """Keep the weights of a model if none were better; returns what the record of the epoch says of it.

        Args:
            model: after the epoch.
            epoch: of the stage (0-based).
            scores: of the evaluation, if there was one.
        """
        if self.stream is not None:
            scores = self.measures.scores(model, self.stream)
            self._compare(model, scores)
            return {"holdout_scores": scores}
        if scores is None or epoch < self.first:
            return {}
        better = self._compare(model, scores)
        return {BEST: better} | ({STOPPED: True} if self.over else {})

    def take_over(self, model: MultiTaskModel) -> None:
        """Give the model the best weights."""
        if self.weights:
            model.load_state_dict(self.weights)

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, for a checkpoint."""
        return {"scores": json_text(self._scores), "weights": self.weights, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        self._scores = with_nan(parse_json(state["scores"]))
        self.weights = {str(name): tensor for name, tensor in state["weights"].items()}
        self.waited = int(state.get("waited", 0))  # states of earlier versions did not end trainings

    def _compare(self, model: MultiTaskModel, scores: Scores) -> bool:
        """Whether scores are the best so far; keeps them, and the weights, then."""
        better = not self._scores or self._incomparable() or self._gains(scores)
        self.waited = 0 if better else self.waited + 1
        if better:
            self._scores = scores
        if better and self.keep:
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        return better

    def _gains(self, scores: Scores) -> bool:
        return self.measures.gain(scores, self._scores) > 0 and not self.measures.gain(self._scores, scores) >= 0

    def _incomparable(self) -> bool:
        """Whether the best scores have no number that others could be compared with."""
        return math.isnan(self.measures.gain(self._scores, self._scores))


def best_epoch(history: Sequence[Mapping[str, Any]]) -> int | None:
    """Number of the epoch of a run (0-based) whose scores were best, from its records; None if none was judged."""
    return next((int(record["epoch"]) for record in reversed(history) if record.get(BEST)), None)
