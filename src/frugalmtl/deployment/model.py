"""The deployed form of a model: an encoder and a decoder that only predict."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Decisions
from frugalmtl.encoders import DecidingModule
from frugalmtl.encoders._deciding import require_point, with_same_tensors

Colour = tuple[float, float, float]


class DeployedModel(nn.Module):
    """Image -> raw prediction of every deployed task; made by :func:`~frugalmtl.deployment.deploy`.

    Attributes:
        task_names: the tasks it predicts, in order.
        size_divisor: image height and width must be multiples of it.
        mean: mean of the colour channels that the image was normalised with, RGB in [0, 1]; None if the encoder has no
            backbone.
        std: their standard deviation.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        task_names: tuple[str, ...],
        *,
        size_divisor: int,
        mean: Colour | None = None,
        std: Colour | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.task_names = task_names
        self.size_divisor = size_divisor
        self.mean = mean
        self.std = std
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Tensor]:
        """Normalised image ``[B, 3, H, W]`` -> ``[B, C, H, W]`` per dense task, ``[B, C]`` per other task.

        Args:
            image: normalised image.
            decisions: what runs, for a model that chooses for each image; None for its own choice.

        Raises:
            UserError: decisions for a model that takes none.
        """
        image_size = (image.shape[-2], image.shape[-1])
        image = image.contiguous(memory_format=self.memory_format)
        features = self.encoder(image) if decisions is None else self._deciding()(image, decisions)
        predictions: dict[str, Tensor] = self.decoder(features, image_size)
        return predictions

    @property
    def decides(self) -> bool:
        """Whether what runs depends on the values of the image."""
        return isinstance(self.encoder, DecidingModule)

    @property
    def points(self) -> tuple[str, ...]:
        """Names of its operating points, see :meth:`at`; none if its cost cannot be chosen."""
        return self.encoder.points if isinstance(self.encoder, DecidingModule) else ()

    def decide(self, image: Tensor) -> Decisions:
        """Normalised image ``[B, 3, H, W]`` -> what is run of each, bool ``[B, ...]`` by name.

        Raises:
            UserError: the model runs the same for every image.
        """
        return self._deciding().decide(image.contiguous(memory_format=self.memory_format))

    def at(self, point: str) -> DeployedModel:
        """The model at an operating point (``"0.7x"``): one of its own, with the same tensors.

        Raises:
            UserError: no such point.
        """
        require_point(point, self.points)
        model = with_same_tensors(self)
        model._deciding().settle(point)
        return model

    def _deciding(self) -> DecidingModule:
        if not isinstance(self.encoder, DecidingModule):
            raise UserError("this model runs the same for every image: it takes and gives no decisions")
        return self.encoder
