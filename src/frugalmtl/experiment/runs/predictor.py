"""Prediction of photographs with a deployed model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data import Sample
from frugalmtl.data.files import Exif
from frugalmtl.deployment import DeployedModel
from frugalmtl.evaluation.infer import decoded_predictions, infer, require_photograph
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.streams.loaders import make_transform
from frugalmtl.export._record import output_record
from frugalmtl.export._run_model import back_to_photo, joined, windows
from frugalmtl.tasks import Task
from frugalmtl.tasks.base import Image


class Predictor:
    """Photograph ``[H, W, 3]`` of any size -> decoded predictions of its size.

    A photograph is brought to the size of the network as images of the training and the evaluation are, and predictions
    are resized back: maps bilinear, and of classes the one with the largest share. With ``fit: pad``, where pixels keep
    their size, a larger photograph is predicted window by window. ``run_model.py`` beside exported files does the same.

    Args:
        built: the objects of the run.
        deployed: its model.
        config: how images are brought to the network's size.
        native: predict photographs at their own size instead, whatever size the network was trained at.
    """

    def __init__(self, built: Built, deployed: DeployedModel, config: Experiment, *, native: bool = False) -> None:
        self.tasks: tuple[Task, ...] = tuple(task for task in built.tasks if not task.auxiliary)
        self.built = built
        self.exif: Exif = built.exif
        self.deployed = deployed
        self.native = native
        self.transform = make_transform(built, (), config, training=False)
        self.outputs: dict[str, Any] = {task.name: output_record(task) for task in self.tasks}

    def __call__(self, photo: Image) -> dict[str, Tensor]:
        """Predict every task.

        Raises:
            UserError: not an RGB photograph, or one that does not fit into memory.
        """
        require_photograph(photo)
        try:
            return self._at_own_size(photo) if self.native else self._as_trained(photo)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate" not in str(error) and "out of memory" not in str(error):
                raise
            height, width = photo.shape[:2]
            raise UserError(f"a photograph of {height} x {width} needs more memory than there is: shrink it") from error

    def _at_own_size(self, photo: Image) -> dict[str, Tensor]:
        backbone = self.built.backbone
        return infer(
            self.deployed, photo, self.tasks, mean=backbone.mean, std=backbone.std, divisor=backbone.size_divisor
        )

    def _as_trained(self, photo: Image) -> dict[str, Tensor]:
        fit = self.transform.fit
        places = windows(photo.shape[0], photo.shape[1], self.built.image_size, fit)
        parts = []
        for rows, columns, *_ in places:
            window = np.ascontiguousarray(photo[rows, columns].transpose(2, 0, 1))
            image = self.transform(Sample(torch.from_numpy(window))).image
            decoded = decoded_predictions(self.deployed, image[None], self.tasks)
            part = {}
            for task, output in self.outputs.items():
                values, size = decoded[task].numpy(), (window.shape[1], window.shape[2])
                part[task] = back_to_photo(values, output["values"], size, fit) if output["map"] else values
            parts.append(part)
        whole = joined(parts, places, self.outputs)
        return {task: torch.from_numpy(np.array(values)) for task, values in whole.items()}
