"""Models in float64, one forward and backward pass of them, and an aggregator that records gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from frugalmtl.backbones.timm import Timm
from frugalmtl.balancing import BalancerReport, ForwardPass
from frugalmtl.balancing.aggregation.base import Aggregator
from frugalmtl.balancing.gradients import TaskGradients, or_zeros
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.losses import task_losses
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import build_batch, build_model, tasks

LEVELS = ["representation", "parameters", "parameters_batched"]


class Recording(Aggregator):
    """Sums the gradients and remembers them, one row per task, without the loss scale."""

    def __init__(self, gradients_at: Any, weights: Any = "uniform") -> None:
        super().__init__(tasks(), gradients_at=gradients_at, weights=weights)
        self.seen: list[Tensor] = []
        self.gramians: list[Tensor] = []

    def direct(self, gradients: TaskGradients, losses: Tensor, factors: Tensor) -> BalancerReport:
        rows = []
        for task in range(len(losses)):
            parts = [
                or_zeros(place.rows[task][index], tensor)
                for place in gradients.places()
                for index, tensor in enumerate(place.tensors)
            ]
            rows.append(torch.cat([part.reshape(-1) for part in parts]) if parts else torch.zeros(0))
        self.seen.append(torch.stack(rows) / gradients.loss_scale)
        self.gramians.append(gradients.gramian())
        gradients.apply_weights([1.0] * len(losses))
        return BalancerReport(dict(self.weights))


def real(encoder: str) -> MultiTaskModel:
    """An encoder of the library on a small ResNet, with a head per task."""
    chosen = tasks()
    network = ENCODERS.build(encoder, Timm(model="test_resnet"), tuple(task.name for task in chosen))
    decoder = DECODERS.build({"name": "independent"}, network.channels, network.strides, chosen)
    model = MultiTaskModel(network, decoder, chosen)
    model.enter_stage(model.recipe()[-1].name)
    return model


MODELS: dict[str, Callable[[], MultiTaskModel]] = {
    "shared": lambda: build_model("shared", dropout=0.0),
    "apart": lambda: build_model("apart", dropout=0.0),
    **{name: (lambda name=name: real(name)) for name in ("hard_sharing", "single_task", "cross_stitch")},
}


def backward(
    model: MultiTaskModel, balancer: Aggregator, *, scale: float = 1.0, penalty: bool = False, factor: float = 1.0
) -> BalancerReport:
    """One forward and backward pass in float64, with a loss scale, a penalty, and losses times a factor."""
    batch = build_batch(1)
    cut = balancer.cut()
    predictions = model(image_of(model), cut)
    losses = {name: factor * loss for name, loss in losses_of(model, predictions, batch).items()}
    extra = penalty_of(model, predictions) if penalty else None
    step = ForwardPass(model, losses, extra, cut, lambda loss: (loss * scale).backward(), scale, scale)
    return balancer.backward(step)


def image_of(model: MultiTaskModel) -> Tensor:
    size = 6 if hasattr(model.decoder, "initial") else 32
    return torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def losses_of(model: MultiTaskModel, predictions: Any, batch: Any) -> dict[str, Tensor]:
    if hasattr(model.decoder, "initial"):
        return task_losses(predictions, batch, model.tasks)
    return {name: raw.square().mean() + raw.mean() for name, raw in predictions.by_task.items()}


def penalty_of(model: MultiTaskModel, predictions: Any) -> Tensor:
    """A penalty that depends on a parameter of the trunk and on features behind the cut."""
    outputs = torch.stack([raw.square().mean() for raw in predictions.by_task.values()])
    return next(model.encoder.parameters()).square().sum() + outputs.sum()


def plain(model: MultiTaskModel, weights: dict[str, float], *, penalty: bool = False) -> dict[str, Tensor | None]:
    predictions = model(image_of(model))
    losses = losses_of(model, predictions, build_batch(1))
    total = torch.stack([losses[name] * weight for name, weight in weights.items()]).sum()
    if penalty:
        total = total + penalty_of(model, predictions)
    total.backward()
    return take(model)


def take(model: MultiTaskModel) -> dict[str, Tensor | None]:
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return gradients
