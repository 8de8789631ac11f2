"""Best weights of a stage, by scores on a stream that it does not train on."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from frugalmtl.core.documents import parse_json
from frugalmtl.core.documents.json_values import json_text, with_nan
from frugalmtl.core.recipe import HOLDOUT
from frugalmtl.core.types import Scores
from frugalmtl.engine.stages.measures import Measures
from frugalmtl.model import MultiTaskModel


class BestWeights:
    """The weights of the epoch whose scores were best.

    An epoch is better than the best before it if its mean relative gain over that one is above 0, or if the best before
    it has no score to compare with. One whose scores are no numbers is not.

    Args:
        measures: take the scores.

    Attributes:
        weights: everything that the model held then, on the CPU; empty before the first epoch.
    """

    def __init__(self, measures: Measures) -> None:
        self.measures = measures
        self.weights: dict[str, Tensor] = {}
        self._scores: Scores = {}

    def judge(self, model: MultiTaskModel) -> Scores:
        """Score the model, and keep its weights if none were better; returns the scores."""
        scores = self.measures.scores(model, HOLDOUT)
        if not self._scores or self.measures.gain(scores, self._scores) > 0 or self._incomparable():
            self._scores = scores
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        return scores

    def _incomparable(self) -> bool:
        """Whether the best scores have no number that others could be compared with."""
        return math.isnan(self.measures.gain(self._scores, self._scores))

    def take_over(self, model: MultiTaskModel) -> None:
        """Give the model the best weights."""
        if self.weights:
            model.load_state_dict(self.weights)

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, for a checkpoint."""
        return {"scores": json_text(self._scores), "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        self._scores = with_nan(parse_json(state["scores"]))
        self.weights = {str(name): tensor for name, tensor in state["weights"].items()}
