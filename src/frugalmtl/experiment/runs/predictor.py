"""Prediction of photographs with a deployed model."""

from __future__ import annotations

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.files import Exif
from frugalmtl.deployment import DeployedModel
from frugalmtl.evaluation.infer import infer
from frugalmtl.experiment.runs.build import Built
from frugalmtl.tasks import Task
from frugalmtl.tasks.base import Image


class Predictor:
    """Photograph ``[H, W, 3]`` of any size -> decoded predictions of its size."""

    def __init__(self, built: Built, deployed: DeployedModel) -> None:
        self.tasks: tuple[Task, ...] = tuple(task for task in built.tasks if not task.auxiliary)
        self.built = built
        self.exif: Exif = built.exif
        self.deployed = deployed

    def __call__(self, photo: Image) -> dict[str, Tensor]:
        """Predict every task.

        Raises:
            UserError: the photograph does not fit into memory.
        """
        backbone = self.built.backbone
        try:
            return infer(
                self.deployed, photo, self.tasks, mean=backbone.mean, std=backbone.std, divisor=backbone.size_divisor
            )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate" not in str(error):
                raise
            height, width = photo.shape[:2]
            raise UserError(f"a photograph of {height} x {width} needs more memory than there is: shrink it") from error
