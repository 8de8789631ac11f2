"""A training and the objects that are made of it: its model, deployed, exported, predicting."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError
from frugalmtl.core.names import path_part
from frugalmtl.core.registry import SpecLike
from frugalmtl.deployment import DeployedModel, deploy, deployable, device_named
from frugalmtl.engine.checkpoints import load_trained
from frugalmtl.evaluation.cost import CostPerImage, cost_per_image, decides
from frugalmtl.experiment.config.files import as_plain
from frugalmtl.experiment.runs.build import Built, build, build_dataset, without_weights
from frugalmtl.experiment.runs.folder import CONFIG, RunFolder
from frugalmtl.experiment.runs.kept.images import FILE as IMAGES
from frugalmtl.experiment.runs.kept.images import example_images, keep_images, kept_images, normalised
from frugalmtl.experiment.runs.network import model_facts
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.streams.images import SplitImages
from frugalmtl.experiment.runs.streams.parts import SPLIT
from frugalmtl.export import EXPORTERS, Exported, Exporter
from frugalmtl.export._sidecar import described, write_beside

EXPORTS = "deployed"
"""Folder of a run's exported networks."""


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
        built.model.encoder.read_levels = built.model.read_levels()
        built.model.eval()
        return built

    def deployed(self, tasks: Collection[str] | None = None, point: str | None = None) -> tuple[Built, DeployedModel]:
        """The run's objects, and its model deployed.

        Args:
            tasks: names of those whose predictions are wanted; None for all. Operating points are calibrated for all:
                the model of some alone costs less.
            point: an operating point, see :meth:`at`; None for that of the run.

        Raises:
            UserError: no such task or point; see :meth:`load`.
        """
        chosen = self.point if point is None else self.at(point).point
        if tasks is not None:
            deployable(self.network().tasks, tasks)
        built = self.load()
        images = self.example(built)
        if images is not None and not built.model.encoder.decides:
            images = images[:1]  # one image shows all that runs
        deployed = deploy(built.model, tasks=tasks, example=images)
        return built, deployed if chosen is None else deployed.at(chosen)

    def example(self, built: Built) -> Tensor | None:
        """Normalised images ``[N, 3, H, W]`` that the deployed model is checked on; None for noise.

        They are those that the run keeps. A run of an earlier version keeps none; its model gets them from its data
        where it chooses for each image what it runs, of which noise tells nothing.

        Args:
            built: the run's objects.

        Raises:
            UserError: the file of the images is damaged; or there is none, and the data cannot be opened.
        """
        images = kept_images(self.folder, built.image_size)
        if images is None and built.model.encoder.decides:
            try:
                dataset = build_dataset(self.config)
                dataset.prepare([SPLIT])
                images = example_images(built, self.config, dataset)
            except UserError as error:
                raise UserError(
                    f"{self.folder} keeps no {IMAGES}, on which a model that chooses for each image what it runs is "
                    f"checked, and they cannot be taken from its data: {error}"
                ) from None
            keep_images(self.folder, images)
        return None if images is None else normalised(images, built)

    def cost(
        self,
        point: str | None = None,
        images: SplitImages | None = None,
        deployed: tuple[Built, DeployedModel] | None = None,
    ) -> CostPerImage:
        """What the deployed model computes for an image, and what it stores.

        A model that chooses for each image what it runs is counted on images of the run's test split; others need none.

        Args:
            point: see :meth:`deployed`.
            images: those to count on, where they are loaded already or of another split.
            deployed: the run deployed at the point, where it is already.

        Raises:
            UserError: see :meth:`deployed`; the run's data are not there, and the model needs images.
        """
        built, network = deployed or self.deployed(point=point)
        if images is None and decides(network):
            images = SplitImages.of(self.config)
        seen = None if images is None else images.seen_by(built, self.config)
        return cost_per_image(network, built.image_size, seen)

    def predictor(self, point: str | None = None, *, native: bool = False, device: str = "auto") -> Predictor:
        """The deployed model as a function of photographs.

        Args:
            point: see :meth:`deployed`.
            native: predict photographs at their own size instead of the network's.
            device: where it runs: ``"auto"`` is a GPU where there is one.

        Raises:
            UserError: there is no such device; see :meth:`deployed`.
        """
        place = device_named(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        built, deployed = self.deployed(point=point)
        return Predictor(built, deployed.to(place), self.config, native=native)

    def export(
        self,
        section: SpecLike,
        path: Path | None = None,
        tasks: Collection[str] | None = None,
        point: str | None = None,
        *,
        decoded: bool = False,
    ) -> Exported:
        """Write the deployed model to a file, and beside it ``model.json`` (what it takes and gives, by file name) and,
        for ONNX, ``run_model.py``, which runs it on photographs without this library.

        Args:
            section: name of an export format, or ``{name: ..., option: value}``.
            path: the file; ``deployed/NAME`` in the run with the format's suffix if not given, the tasks' names where
                these are chosen, ``@POINT`` of an operating point, and ``_decoded``.
            tasks: see :meth:`deployed`.
            point: see :meth:`deployed`.
            decoded: the file takes RGB bytes ``[B, H, W, 3]`` and gives what they mean: indices of classes, metres,
                unit vectors, probabilities.

        Raises:
            UserError: see :meth:`deployed` and :class:`~frugalmtl.export.base.Exporter`; ``model.json`` is damaged.
        """
        exporter: Exporter = EXPORTERS.build(section)
        run = self if point is None else self.at(point)
        records = described(path.parent if path else self.folder / EXPORTS)
        built, deployed = run.deployed(tasks)
        name = "_".join([self.config.name, *(deployed.task_names if tasks is not None else ())]) + run.at_point
        name += "_decoded" * decoded
        path_part("the file of the chosen tasks", name)
        target = path or self.folder / EXPORTS / f"{name}{exporter.suffix}"
        facts = model_facts(built, self.config, decoded=decoded)
        exported = exporter(deployed, target, built.image_size, as_plain(self.config), self.example(built), facts)
        write_beside(exported, records)
        return exported
