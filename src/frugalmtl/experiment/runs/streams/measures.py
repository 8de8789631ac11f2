"""Measures of a run under training: its scores, and the cost of its model as it would be deployed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

from frugalmtl.core.checks import known
from frugalmtl.core.types import Batch, Scores
from frugalmtl.data import Loader
from frugalmtl.deployment import deploy, stopwatch
from frugalmtl.evaluation.cost import count
from frugalmtl.evaluation.delta import delta_mtl
from frugalmtl.evaluation.evaluator import evaluate
from frugalmtl.experiment.runs.build import Built
from frugalmtl.model import MultiTaskModel


class RunMeasures:
    """See :class:`~frugalmtl.engine.Measures`.

    Args:
        built: the objects of the run.
        evaluated: loads the split that is evaluated during training.
        streams: ``{stream: loads its samples once, as they are evaluated}``.
    """

    def __init__(self, built: Built, evaluated: Loader | None, streams: Mapping[str, Loader]) -> None:
        self.built, self.evaluated, self.streams = built, evaluated, streams
        self.directions = {task.name: task.higher_is_better for task in built.tasks if not task.auxiliary}

    def evaluate(self, model: MultiTaskModel) -> Scores:
        """Scores on the split that is evaluated during training."""
        if self.evaluated is None:
            raise RuntimeError("the run has no split that is evaluated during training")
        return evaluate(model, self.evaluated.epoch(), self.built.tasks)

    def batches(self, stream: str) -> Iterable[Batch]:
        """All samples of a stream once, in stored order, not augmented."""
        known("stream:", stream, self.streams)
        return self.streams[stream].epoch()

    def scores(self, model: MultiTaskModel, stream: str) -> Scores:
        """Scores on the samples of a stream."""
        return evaluate(model, self.batches(stream), self.built.tasks)

    def gain(self, scores: Scores, reference: Scores) -> float:
        """Mean over the tasks of the relative change of their primary score, positive where ``scores`` are better."""
        return delta_mtl(self._primary(scores), self._primary(reference), self.directions) / 100

    def macs(self, model: MultiTaskModel) -> float:
        """Multiply-adds per image of the deployed model."""
        return float(count(deploy(copy.deepcopy(model).cpu()), self.built.image_size).macs)

    def latency(self, model: MultiTaskModel) -> float:
        """Milliseconds per image of the deployed model, on the CPU."""
        return stopwatch(model, self.built.image_size)()

    def _primary(self, scores: Scores) -> dict[str, float]:
        return {task.name: scores[task.name][task.primary] for task in self.built.tasks if not task.auxiliary}
