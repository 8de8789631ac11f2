"""Measures of a run under training: its scores, and the cost of its model as it would be deployed."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence

from frugalmtl.core.budget import Decision
from frugalmtl.core.checks import UserError, known
from frugalmtl.core.distributed import gather
from frugalmtl.core.recipe import HOLDOUT, TRAIN
from frugalmtl.core.types import Batch, Scores
from frugalmtl.data import Dataset, Loader
from frugalmtl.deployment import deploy
from frugalmtl.evaluation.cost import cost_per_image
from frugalmtl.evaluation.delta import delta_mtl
from frugalmtl.evaluation.evaluator import evaluate
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.streams.clock import clock_of
from frugalmtl.experiment.runs.streams.images import NetworkImages
from frugalmtl.experiment.runs.streams.loaders import make_loader, make_transform
from frugalmtl.experiment.runs.streams.parts import StreamPart
from frugalmtl.model import MultiTaskModel


class RunMeasures:
    """See :class:`~frugalmtl.engine.Measures`; all processes call it, and get the same answers.

    Loaders are made when they are first asked for, and serve every later measure.

    Args:
        built: the objects of the run.
        dataset: of the run; its evaluate_split is opened when it is first evaluated.
        parts: the samples of every stream.
        config: the experiment.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        built: Built,
        dataset: Dataset,
        parts: Mapping[str, StreamPart],
        config: Experiment,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.built, self.dataset, self.parts, self.config = built, dataset, parts, config
        self.rank, self.world_size = rank, world_size
        self.scored = [task for task in built.tasks if not task.auxiliary]
        self._loaders: dict[tuple[str | None, bool], Loader] = {}
        self._images: NetworkImages | None = None

    def evaluate(self, model: MultiTaskModel) -> Scores:
        """Scores on the split that is evaluated during training."""
        return evaluate(model, self._loader(None, shared=True).epoch(), self.built.tasks)

    def batches(self, stream: str) -> Iterable[Batch]:
        """All samples of a stream once, in stored order, not augmented; every process gets all of them.

        Raises:
            UserError: no such stream.
        """
        return self._loader(stream, shared=False).epoch()

    def scores(self, model: MultiTaskModel, stream: str) -> Scores:
        """Scores on the samples of a stream, of which each process takes its share.

        Raises:
            UserError: no such stream.
        """
        return evaluate(model, self._loader(stream, shared=True).epoch(), self.built.tasks)

    def gain(self, scores: Scores, reference: Scores) -> float:
        """Mean over the tasks of the relative change of their primary score, positive where ``scores`` are better.

        It is Delta_MTL / 100 over the tasks in which the reference has a score other than 0; NaN if there are none.
        """
        before = {task.name: reference[task.name][task.primary] for task in self.scored}
        before = {name: value for name, value in before.items() if value and math.isfinite(value)}
        if not before:
            return math.nan
        after = {task.name: scores[task.name][task.primary] for task in self.scored if task.name in before}
        return delta_mtl(after, before, {task.name: task.higher_is_better for task in self.scored}) / 100

    def macs(self, model: MultiTaskModel) -> float:
        """Multiply-adds per image of the deployed model; the mean over :attr:`images` if it chooses by the image."""
        deployed = deploy(copy.deepcopy(model).cpu())
        return float(cost_per_image(deployed, self.built.image_size, self.images).macs)

    def latency(self, model: MultiTaskModel, decisions: Sequence[Decision] = ()) -> list[float]:
        """Milliseconds per image of the deployed model on the CPU, as the first process measures it.

        Args:
            model: in training.
            decisions: see :class:`~frugalmtl.core.budget.Clock`; the other processes take them, too.

        Raises:
            UserError: in the other processes, that the first one failed.
        """
        milliseconds: list[float] = []
        failure = None
        if self.rank > 0:
            for decide in decisions:
                decide()
        else:
            try:
                milliseconds = clock_of(self.built, model, self.images)(decisions)
            except Exception as error:  # the others wait for an answer
                failure = error
        milliseconds, words = gather((milliseconds, failure and (str(failure) or type(failure).__name__)))[0]
        if failure is not None:
            raise failure
        if words is not None:
            raise UserError(f"the first process could not measure the latency of the deployed model: {words}")
        return list(milliseconds)

    @property
    def images(self) -> NetworkImages:
        """Images that the cost of a model that chooses by the image is measured on: none of them is evaluated.

        They are those of the stream that is held out, if there is one, else those that are trained on.
        """
        if self._images is None:
            samples = self.parts[HOLDOUT if HOLDOUT in self.parts else TRAIN].samples
            self._images = NetworkImages(samples, make_transform(self.built, (), self.config, training=False))
        return self._images

    def _loader(self, stream: str | None, *, shared: bool) -> Loader:
        """The loader of a stream, or of the evaluated split; ``shared``: of this process's share."""
        if (stream, shared) not in self._loaders:
            if stream is None:
                samples = self.dataset.split(self.config.evaluate_split)
            else:
                samples = self.parts[known("stream:", stream, self.parts)].samples
            rank, world_size = (self.rank, self.world_size) if shared else (0, 1)
            self._loaders[stream, shared] = make_loader(
                self.built, samples, self.config, rank=rank, world_size=world_size, training=False
            )
        return self._loaders[stream, shared]
