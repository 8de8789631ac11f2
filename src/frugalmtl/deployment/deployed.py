"""Deployed models: ``deploy()`` turns a trained model into a plain module."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.counting import device_of
from frugalmtl.core.types import Decisions
from frugalmtl.deployment.captured import CapturedModel, device_named, require_capturable
from frugalmtl.deployment.fold import fold_batch_norms
from frugalmtl.deployment.model import DeployedModel
from frugalmtl.deployment.observe import forget, observe
from frugalmtl.deployment.prune import prune_dead
from frugalmtl.deployment.reorder import fold_reorders
from frugalmtl.deployment.strip import strip_passive, strip_unused
from frugalmtl.encoders import DecidingEncoder, DecidingModule
from frugalmtl.encoders.base import wanted_of
from frugalmtl.evaluation.cost import decides
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import Task


def deploy(
    model: MultiTaskModel,
    *,
    tasks: Collection[str] | None = None,
    channels_last: bool = True,
    example: Tensor | None = None,
    tolerance: float = 1e-4,
    device: torch.device | str | None = None,
    graph: bool = False,
) -> DeployedModel:
    """A plain module with the predictions of ``model`` in eval mode, and nothing that they do not need.

    The encoder and the decoder deploy themselves; then batch normalisation is folded into the layers before it and the
    order of channels into those behind it, dropout is removed, modules whose output nobody reads are not run, and
    parameters that nothing reads are deleted. The result runs at any batch and image size that ``model`` takes, has no
    gradients, and shares no memory with ``model``, which is left as it was.

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
        device: of the result; that of ``model`` if None.
        graph: capture a CUDA graph for images of ``example``'s shape, see
            :class:`~frugalmtl.deployment.captured.CapturedModel`; on small images a GPU waits for the host otherwise.

    Raises:
        UserError: ``example`` is no batch of RGB images; ``tasks`` names no task, or one without a final prediction;
            there is no such device; a graph is wanted without an example, on a CPU, or of a model that chooses for each
            image what it runs.
        RuntimeError: the deployed predictions differ from those of ``model``: a defect of an encoder or decoder.
    """
    names = deployable(model.tasks, tasks)
    place = device_of(model) if device is None else device_named(device)
    if graph:
        require_capturable(place, decides=model.encoder.decides or decides(model))
        if example is None:
            raise UserError("graph captures one shape of images: give example, images [B, 3, H, W] of that shape")
    trained = copy.deepcopy(model).eval()
    forget(trained)
    backbone = next((module for module in trained.modules() if isinstance(module, Backbone)), None)
    divisor = backbone.size_divisor if backbone else max(trained.encoder.strides)
    image = _example(trained, divisor, backbone) if example is None else _checked(example)
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
        fold_reorders(plain, observe(plain, *inputs))
        strip_passive(plain, observe(plain, *inputs))
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
    plain = plain.to(place)
    return CapturedModel(plain, image.to(place)) if graph else plain


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


def _example(model: nn.Module, divisor: int, backbone: Backbone | None) -> Tensor:
    """Two images of noise, not square where the network allows it, so that a mix-up of height and width shows."""
    weight = next(model.parameters())
    side = divisor * -(-max(backbone.probe_size if backbone else (64,)) // divisor)
    size = (backbone.image_size if backbone else None) or (side, side + divisor)
    noise = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
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
