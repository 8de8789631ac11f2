"""Deployed models: ``deploy()`` turns a trained model into a plain module."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.deployment.fold import fold_batch_norms
from frugalmtl.deployment.observe import observe
from frugalmtl.deployment.prune import prune_dead
from frugalmtl.deployment.strip import strip_passive, strip_unused
from frugalmtl.encoders.base import wanted_of
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import Task

Colour = tuple[float, float, float]


class DeployedModel(nn.Module):
    """Image -> raw prediction of every deployed task; made by :func:`deploy`.

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

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Normalised image ``[B, 3, H, W]`` -> ``[B, C, H, W]`` per dense task, ``[B, C]`` per other task."""
        features = self.encoder(image.contiguous(memory_format=self.memory_format))
        predictions: dict[str, Tensor] = self.decoder(features, (image.shape[-2], image.shape[-1]))
        return predictions


def deploy(
    model: MultiTaskModel,
    *,
    tasks: Collection[str] | None = None,
    channels_last: bool = True,
    example: Tensor | None = None,
    tolerance: float = 1e-4,
) -> DeployedModel:
    """A plain module with the predictions of ``model`` in eval mode, and nothing that they do not need.

    The encoder and the decoder deploy themselves; then batch normalisation is folded into the layers before it, dropout
    is removed, modules whose output nobody reads are not run, and parameters that nothing reads are deleted. The result
    runs at any batch and image size that ``model`` takes, has no gradients, and shares no memory with ``model``, which
    is left as it was.

    What is read and what is not is observed on ``example``. A module that chooses its path by the *values* of its input
    (a router, a gate on tokens) must say so by an attribute ``data_dependent = True``; nothing is taken from it, nor
    from what computes its arguments.

    Args:
        model: the trained model.
        tasks: names of the tasks whose predictions are wanted; None for all that have a final one. What the others
            alone need is neither stored nor computed.
        channels_last: store the weights, and convert the image, in PyTorch's channels-last layout (faster convolutions
            on most processors).
        example: normalised image ``[B, 3, H, W]`` for the observation and the check; random noise if None.
        tolerance: largest difference to ``model``, absolute for outputs up to 1, relative to the largest output above.

    Raises:
        UserError: ``example`` is no batch of RGB images; ``tasks`` names no task, or one without a final prediction.
        RuntimeError: the deployed predictions differ from those of ``model``: a defect of an encoder or decoder.
    """
    names = deployable(model.tasks, tasks)
    trained = copy.deepcopy(model).eval()
    backbone = next((module for module in trained.modules() if isinstance(module, Backbone)), None)
    divisor = backbone.size_divisor if backbone else max(trained.encoder.strides)
    image = _example(trained, divisor) if example is None else _checked(example)
    with torch.no_grad():
        predictions = trained(image).by_task
        expected = {name: predictions[name] for name in names}
        trained.encoder.read_levels = trained.read_levels(names)
        plain = DeployedModel(
            trained.encoder.deploy(),
            trained.decoder.deploy(names),
            names,
            size_divisor=divisor,
            mean=backbone.mean if backbone else None,
            std=backbone.std if backbone else None,
            channels_last=channels_last,
        ).eval()
        fold_batch_norms(plain, observe(plain, image))
        strip_passive(plain)
        prune_dead(plain, observe(plain, image))
        strip_unused(plain, observe(plain, image))
        plain.requires_grad_(False)
        if channels_last:
            plain.to(memory_format=torch.channels_last)
        _compare(expected, plain(image), tolerance)
    return plain


def deployable(tasks: Sequence[Task], chosen: Collection[str] | None) -> tuple[str, ...]:
    """Names of the tasks to deploy, in order.

    Args:
        tasks: of the model.
        chosen: some of those that have a final prediction (all but the auxiliary ones); None for all of these.

    Raises:
        UserError: no task is chosen, or one that has none.
    """
    finals = tuple(task.name for task in tasks if not task.auxiliary)
    if chosen is None:
        return finals
    if isinstance(chosen, str) or not chosen:
        raise UserError(
            f"tasks to deploy must be a list of one or more of {', '.join(finals)}, but got {shown(chosen)}"
        )
    for name in chosen:
        known("task to deploy", name, finals)
    return wanted_of(finals, chosen)


def _example(model: nn.Module, divisor: int) -> Tensor:
    """Two images of noise, not square, so that a mix-up of height and width shows."""
    weight = next(model.parameters())
    side = divisor * -(-64 // divisor)
    noise = torch.randn(2, 3, side, side + divisor, generator=torch.Generator().manual_seed(0))
    return noise.to(weight.device, weight.dtype)


def _checked(example: Tensor) -> Tensor:
    if example.ndim != 4 or example.shape[1] != 3:
        raise UserError(f"example must be images [B, 3, H, W], but got the shape {list(example.shape)}")
    return example


def _compare(expected: dict[str, Tensor], deployed: dict[str, Tensor], tolerance: float) -> None:
    if list(expected) != list(deployed):
        raise RuntimeError(f"the deployed model predicts {list(deployed)}, the trained one {list(expected)}")
    for name, wanted in expected.items():
        if wanted.shape != deployed[name].shape:
            raise RuntimeError(f"{name}: deployed shape {list(deployed[name].shape)}, trained {list(wanted.shape)}")
        difference = (wanted - deployed[name]).abs().max().item()
        bound = tolerance * max(1.0, wanted.abs().max().item())
        if not difference <= bound:
            raise RuntimeError(f"{name}: deployed predictions differ by {difference:.3g}, allowed {bound:.3g}")
