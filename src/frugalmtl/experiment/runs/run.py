"""A training and the objects that are made of it: its model, deployed, exported, predicting."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError
from frugalmtl.core.names import path_part
from frugalmtl.core.registry import SpecLike
from frugalmtl.deployment import DeployedModel, deploy, deployable
from frugalmtl.engine.checkpoints import load_trained
from frugalmtl.evaluation.cost import CostPerImage, cost_per_image, decides
from frugalmtl.experiment.config.files import as_plain
from frugalmtl.experiment.runs.build import Built, build, without_weights
from frugalmtl.experiment.runs.folder import CONFIG, RunFolder
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.streams.images import SplitImages
from frugalmtl.export import EXPORTERS, Exported, Exporter


class Run(RunFolder):
    """One training, from its folder to what is made of its weights."""

    def build(self) -> Built:
        """The run's objects with random weights.

        Raises:
            UserError: what the network predicts is not written down, or the file is damaged.
        """
        facts = self.network()
        try:
            built = build(replace(without_weights(self.config), image_size=facts.image_size), tasks=facts.tasks)
        except UserError as error:
            raise UserError(f"{self.folder / CONFIG}: {error}") from error
        for module in (built.backbone, *built.model.modules()):
            if isinstance(module, Backbone):
                module.mean, module.std = facts.mean, facts.std
        return replace(built, exif=facts.exif)

    def load(self) -> Built:
        """The run's objects with the final weights, model in eval mode.

        Raises:
            UserError: the training is not complete, or the weights are damaged or of another model.
        """
        if not self.finished:
            raise UserError(f"{self.folder} is not trained to its end: run 'frugalmtl train' on it again to continue")
        built = self.build()
        load_trained(built.model, self.weights, self.config.train.epochs)
        built.model.eval()
        return built

    def deployed(self, tasks: Collection[str] | None = None, point: str | None = None) -> tuple[Built, DeployedModel]:
        """The run's objects, and its model deployed.

        Args:
            tasks: names of those whose predictions are wanted; None for all.
            point: an operating point, see :meth:`at`; None for that of the run.

        Raises:
            UserError: no such task or point; see :meth:`load`.
        """
        chosen = self.point if point is None else self.at(point).point
        if tasks is not None:
            deployable(self.network().tasks, tasks)
        built = self.load()
        deployed = deploy(built.model, tasks=tasks)
        return built, deployed if chosen is None else deployed.at(chosen)

    def cost(self, point: str | None = None, images: SplitImages | None = None) -> CostPerImage:
        """What the deployed model computes for an image, and what it stores.

        A model that chooses for each image what it runs is counted on images of the run's test split; others need none.

        Args:
            point: see :meth:`deployed`.
            images: those to count on, where they are loaded already or of another split.

        Raises:
            UserError: see :meth:`deployed`; the run's data are not there, and the model needs images.
        """
        built, deployed = self.deployed(point=point)
        if images is None and decides(deployed):
            images = SplitImages.of(self.config)
        seen = None if images is None else images.seen_by(built, self.config)
        return cost_per_image(deployed, built.image_size, seen)

    def predictor(self, point: str | None = None) -> Predictor:
        """The deployed model as a function of photographs; see :meth:`deployed`."""
        return Predictor(*self.deployed(point=point))

    def export(
        self,
        section: SpecLike,
        path: Path | None = None,
        tasks: Collection[str] | None = None,
        point: str | None = None,
    ) -> Exported:
        """Write the deployed model to a file.

        Args:
            section: name of an export format, or ``{name: ..., option: value}``.
            path: the file; ``deployed/NAME`` in the run with the format's suffix if not given, the tasks' names where
                these are chosen, and ``@POINT`` of an operating point.
            tasks: see :meth:`deployed`.
            point: see :meth:`deployed`.

        Raises:
            UserError: see :meth:`deployed` and :class:`~frugalmtl.export.base.Exporter`.
        """
        exporter: Exporter = EXPORTERS.build(section)
        run = self if point is None else self.at(point)
        built, deployed = run.deployed(tasks)
        name = "_".join([self.config.name, *(deployed.task_names if tasks is not None else ())]) + run.at_point
        path_part("the file of the chosen tasks", name)
        target = path or self.folder / "deployed" / f"{name}{exporter.suffix}"
        return exporter(deployed, target, built.image_size, as_plain(self.config))
