"""Deployed models: ``deploy()`` turns a trained model into a plain module."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.types import Decisions
from frugalmtl.deployment.fold import fold_batch_norms
from frugalmtl.deployment.observe import observe
from frugalmtl.deployment.prune import prune_dead
from frugalmtl.deployment.strip import strip_passive, strip_unused
from frugalmtl.encoders import DecidingEncoder, DecidingModule
from frugalmtl.encoders._deciding import require_point, with_same_tensors
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
    from what computes its arguments. An encoder that chooses for each image is observed while all of it runs, and
    compared at equal decisions: its own, all, and random ones.

    Args:
        model: the trained model.
        tasks: names of the tasks whose predictions are wanted; None for all that have a final one. What the others
            alone need is neither stored nor computed.
        channels_last: store the weights, and convert the image, in PyTorch's channels-last layout (faster convolutions
            on most processors).
        example: normalised images ``[B, 3, H, W]`` for the observation and the check, best of those that the model was
            trained for; random noise if None.
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
        checks = _checks(trained, image, names)
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
        inputs = (image, plain.encoder.everything(image)) if isinstance(plain.encoder, DecidingModule) else (image,)
        fold_batch_norms(plain, observe(plain, *inputs), paired=plain.decides)
        strip_passive(plain)
        prune_dead(plain, observe(plain, *inputs))
        strip_unused(plain, observe(plain, *inputs))
        plain.requires_grad_(False)
        if channels_last:
            plain.to(memory_format=torch.channels_last)
        for check in checks:
            _compare(check.expected, plain(image, check.decisions), tolerance)
            if check.decisions is not None:
                margins = plain._deciding().margins(image, check.decisions)
                _compare(check.margins, margins, tolerance, what="margins of the decisions")
    return plain


@dataclass(frozen=True)
class _Check:
    """What the trained model gives, at the same decisions."""

    expected: dict[str, Tensor]
    decisions: Decisions | None = None
    margins: dict[str, Tensor] = field(default_factory=dict)


def _checks(trained: MultiTaskModel, image: Tensor, names: tuple[str, ...]) -> list[_Check]:
    """Predictions to compare; of a model that chooses for each image at its own choice, at all and at random ones."""

    def wanted(predictions: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: predictions[name] for name in names}

    encoder = trained.encoder
    if not isinstance(encoder, DecidingEncoder):
        return [_Check(wanted(trained(image).by_task))]
    read = [task for task, levels in trained.read_levels(names).items() if levels]
    decided = encoder.decide(image, read)
    generator = torch.Generator().manual_seed(0)
    drawn = [
        {name: torch.rand(value.shape, generator=generator).to(value.device) < share for name, value in decided.items()}
        for share in (0.5, 1.0)
    ]
    return [
        _Check(wanted(trained(image, decisions=decisions).by_task), decisions, encoder.margins(image, decisions, read))
        for decisions in (decided, *drawn)
    ]


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


def _compare(
    expected: dict[str, Tensor], deployed: dict[str, Tensor], tolerance: float, what: str = "predictions"
) -> None:
    if list(expected) != list(deployed):
        raise RuntimeError(f"the deployed model gives {what} {list(deployed)}, the trained one {list(expected)}")
    for name, wanted in expected.items():
        if wanted.shape != deployed[name].shape:
            raise RuntimeError(f"{name}: deployed shape {list(deployed[name].shape)}, trained {list(wanted.shape)}")
        difference = (wanted - deployed[name]).abs().max().item()
        bound = tolerance * max(1.0, wanted.abs().max().item())
        if not difference <= bound:
            raise RuntimeError(f"{name}: deployed {what} differ by {difference:.3g}, allowed {bound:.3g}")
