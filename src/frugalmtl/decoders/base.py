"""Interface of a decoder: a prediction per task, and auxiliary ones for deep supervision."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.core.recipe import ParameterGroup
from frugalmtl.core.types import Predictions, Pyramid
from frugalmtl.tasks import Task


class Decoder(nn.Module):
    """``{task: pyramid}`` -> raw predictions.

    Constructors take ``(channels, strides, tasks)`` positionally (of the encoder's pyramid, and the
    :class:`~frugalmtl.tasks.base.Task` objects) and their config as keyword-only arguments.

    Dense predictions are returned at the size asked for: computed at feature resolution, then resized bilinearly
    (``align_corners=False``), as the survey's code does. Tasks without a map get ``[B, C]``.

    Attributes:
        separable: True if a task's predictions depend on its own features alone, so that a call with the features of
            some tasks gives the predictions of these.
    """

    separable: ClassVar[bool] = False

    def forward(self, features: dict[str, Pyramid], size: tuple[int, int]) -> Predictions:
        """Features and the image's ``(H, W)`` -> predictions."""
        raise NotImplementedError

    def enter_stage(self, stage: str) -> None:
        """Called by the engine before the first step of a stage (also when a run is resumed inside it)."""

    def groups(self) -> tuple[ParameterGroup, ...]:
        """Parameter groups that every stage of a recipe gets, by names in the model (``"decoder.units.*"``)."""
        return ()

    def penalties(self) -> Mapping[str, float]:
        """Weights of the penalties in its :class:`Predictions`, by name: what every stage of a recipe adds to the loss.

        No name may be one of the encoder's penalties.
        """
        return {}

    def last_layers(self, task: str) -> list[list[nn.Module]]:  # noqa: ARG002 (of any)
        """The last layers of a task: for each prediction, auxiliary ones too, those whose sum it is."""
        return []

    def deploy(self, tasks: Collection[str] | None = None) -> nn.Module:
        """A plain module ``({task: pyramid}, size) -> {task: raw prediction}``: no auxiliary outputs, nothing unused.

        Called on a copy in eval mode; may reuse its submodules. The deployed predictions equal the training model's.

        Args:
            tasks: those whose final predictions are wanted; None for all. The module is given the features that these
                depend on, and maybe no others.
        """
        raise NotImplementedError


def final_names(tasks: Sequence[Task], wanted: Collection[str] | None) -> list[str]:
    """Names of the tasks with a final prediction that is wanted, in their order; None for all that have one."""
    return [task.name for task in tasks if not task.auxiliary and (wanted is None or task.name in wanted)]


def resize(prediction: Tensor, size: tuple[int, int]) -> Tensor:
    """Dense prediction ``[B, C, h, w]`` -> ``[B, C, H, W]``; a prediction without a map is returned as it is."""
    if prediction.ndim != 4 or prediction.shape[-2:] == size:
        return prediction
    return F.interpolate(prediction, size=size, mode="bilinear", align_corners=False)
