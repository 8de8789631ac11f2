"""Gradients per task, at both levels, against one plain backward pass."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.backbones.timm import Timm
from frugalmtl.balancing import BALANCERS, BalancerReport, ForwardPass, RepresentationCut
from frugalmtl.balancing.aggregation.base import Aggregator
from frugalmtl.balancing.aggregation.pcgrad import PCGrad
from frugalmtl.balancing.gradients import TaskGradients
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.losses import task_losses
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import build_batch, build_model, tasks

LEVELS = ["representation", "parameters", "parameters_batched"]


class Recording(Aggregator):
    """Sums the gradients and remembers them, one row per task, without the loss scale."""

    def __init__(self, gradients_at: Any, weights: Any = "uniform") -> None:
        super().__init__(tasks(), gradients_at, weights)
        self.seen: list[Tensor] = []
        self.gramians: list[Tensor] = []

    def direct(self, gradients: TaskGradients, losses: Tensor) -> BalancerReport:
        rows = []
        for task in range(len(losses)):
            parts = [
                torch.zeros_like(tensor) if place.rows[task][index] is None else place.rows[task][index]
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
    made = ENCODERS.build(encoder, Timm(model="test_resnet"), tuple(task.name for task in chosen))
    decoder = DECODERS.build({"name": "independent"}, made.channels, made.strides, chosen)
    model = MultiTaskModel(made, decoder, chosen)
    model.enter_stage(model.recipe()[-1].name)
    return model


MODELS: dict[str, Callable[[], MultiTaskModel]] = {
    "shared": lambda: build_model("shared", dropout=0.0),
    "apart": lambda: build_model("apart", dropout=0.0),
    **{name: (lambda name=name: real(name)) for name in ("hard_sharing", "single_task", "cross_stitch")},
}


def backward(model: MultiTaskModel, balancer: Aggregator, *, scale: float = 1.0, penalty: bool = False) -> None:
    """One forward and backward pass in float64."""
    batch = build_batch(1)
    cut = balancer.cut()
    predictions = model(_image(model), cut)
    losses = _losses(model, predictions, batch)
    extra = _penalty(model, predictions) if penalty else None
    balancer.backward(ForwardPass(model, losses, extra, cut, lambda loss: (loss * scale).backward(), scale, scale))


def _image(model: MultiTaskModel) -> Tensor:
    size = 6 if hasattr(model.decoder, "initial") else 32
    return torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def _losses(model: MultiTaskModel, predictions: Any, batch: Any) -> dict[str, Tensor]:
    if hasattr(model.decoder, "initial"):
        return task_losses(predictions, batch, model.tasks)
    return {name: raw.square().mean() + raw.mean() for name, raw in predictions.by_task.items()}


def _penalty(model: MultiTaskModel, predictions: Any) -> Tensor:
    """A penalty that depends on a parameter of the trunk and on features behind the cut."""
    outputs = torch.stack([raw.square().mean() for raw in predictions.by_task.values()])
    return next(model.encoder.parameters()).square().sum() + outputs.sum()


def plain(model: MultiTaskModel, weights: dict[str, float], *, penalty: bool = False) -> dict[str, Tensor | None]:
    predictions = model(_image(model))
    losses = _losses(model, predictions, build_batch(1))
    total = torch.stack([losses[name] * weight for name, weight in weights.items()]).sum()
    if penalty:
        total = total + _penalty(model, predictions)
    total.backward()
    return take(model)


def take(model: MultiTaskModel) -> dict[str, Tensor | None]:
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return gradients


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MODELS)
def test_summed_gradients_are_those_of_a_plain_backward_pass(name: str, level: str, penalty: bool) -> None:
    model = MODELS[name]().double().eval()
    balancer = Recording(level)
    expected = plain(model, balancer.weights, penalty=penalty)
    backward(model, balancer, penalty=penalty)
    found = take(model)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in found.values())
    for key, gradient in expected.items():
        if gradient is None:
            assert found[key] is None, key
        else:
            torch.testing.assert_close(found[key], gradient, rtol=1e-9, atol=1e-12, msg=key)


@pytest.mark.parametrize("level", LEVELS)
def test_aggregators_see_one_unscaled_row_per_weighted_task(level: str) -> None:
    model = build_model("shared", dropout=0.0).eval().double()
    plainly, scaled, weighted = (
        Recording(level, "uniform"),
        Recording(level, "uniform"),
        Recording(level, {"segmentation": 1.0, "depth": 3.0, "edges": 1.0}),
    )
    backward(model, plainly)
    expected = take(model)
    backward(model, scaled, scale=1024.0)
    for key, gradient in take(model).items():
        torch.testing.assert_close(gradient, 1024.0 * expected[key], msg=key)
    torch.testing.assert_close(scaled.seen[0], plainly.seen[0])
    torch.testing.assert_close(scaled.gramians[0], plainly.seen[0] @ plainly.seen[0].T)
    backward(model, weighted)
    assert plainly.seen[0].shape[0] == 3
    torch.testing.assert_close(weighted.seen[0][1], 3.0 * plainly.seen[0][1])


@pytest.mark.parametrize("level", LEVELS[1:])
def test_parameters_of_one_task_are_not_aggregated(level: str) -> None:
    model, balancer = build_model("apart", dropout=0.0).double(), Recording(level)
    backward(model, balancer)
    assert balancer.seen[0].shape[1] == 0
    shared = build_model("shared", dropout=0.0).double()
    backward(shared, balancer)
    assert balancer.seen[1].shape[1] == sum(parameter.numel() for parameter in shared.encoder.parameters())


@pytest.mark.parametrize("name", ["shared", "stitched", "hard_sharing", "cross_stitch"])
def test_side_by_side_equals_one_by_one(name: str) -> None:
    seen = []
    fresh = (build_model(name, dropout=0.0) if name in ("shared", "stitched") else MODELS[name]()).double().eval()
    fresh.enter_stage("together")
    for level in LEVELS[1:]:
        model = deepcopy(fresh)
        balancer = Recording(level)
        backward(model, balancer, penalty=True)
        seen.append((balancer.seen[0], take(model)))
    torch.testing.assert_close(seen[0][0], seen[1][0], rtol=1e-9, atol=1e-12)
    for key, gradient in seen[0][1].items():
        torch.testing.assert_close(seen[1][1][key], gradient, rtol=1e-9, atol=1e-12, msg=key)


@pytest.mark.parametrize("balancer", ["recording", "pcgrad"])
@pytest.mark.parametrize("level", LEVELS)
def test_accumulated_batches_count_as_one(level: str, balancer: str) -> None:
    """Two batches of two images against one of four: what goes back is the same, not an average of two directions."""

    def make() -> Aggregator:
        # Two tasks that count leave PCGrad one order of projections.
        weights = {"segmentation": 1.0, "depth": 1.0, "edges": 0.0}
        return Recording(level) if balancer == "recording" else PCGrad(tasks(), gradients_at=level, weights=weights)

    images = torch.rand(4, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    batch = build_batch(1, 4, holes=False)
    found = []
    for parts in ([slice(0, 4)], [slice(0, 2), slice(2, 4)]):
        model, chosen, scale = build_model("shared", dropout=0.0).double().eval(), make(), 4.0 / len(parts)
        for index, part in enumerate(parts):
            cut = chosen.cut()
            targets = {name: value[part] for name, value in batch.targets.items()}
            valid = {name: value[part] for name, value in batch.valid.items()}
            predictions = model(images[part], cut)
            # Against edges turned round, gradients conflict.
            losses = task_losses(predictions, Batch(images[part], targets, valid), tasks())
            losses["depth"] = losses["depth"] - 0.9 * losses["segmentation"]
            losses["edges"] = predictions.by_task["edges"].square().mean()
            last = index == len(parts) - 1
            chosen.backward(ForwardPass(model, losses, None, cut, Tensor.backward, scale, 4.0, last=last))
        found.append(take(model))
    assert any(gradient.abs().sum() > 0 for key, gradient in found[0].items() if key.startswith("encoder"))
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient, rtol=1e-7, atol=1e-10, msg=key)


@pytest.mark.parametrize("level", LEVELS)
def test_one_pass_moves_batch_statistics_once(level: str) -> None:
    model = build_model("shared", dropout=0.0).double()
    backward(model, Recording(level))
    counts = [value.item() for name, value in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts == [1, 1]


@pytest.mark.parametrize("level", LEVELS)
def test_frozen_parameters_get_no_gradient(level: str) -> None:
    model = build_model("shared", dropout=0.0).double()
    model.encoder.trunk[0].requires_grad_(False)
    backward(model, Recording(level))
    gradients = take(model)
    assert gradients["encoder.trunk.0.0.weight"] is None
    assert gradients["encoder.trunk.2.0.weight"] is not None


def test_a_fully_frozen_trunk_leaves_the_heads_their_gradients() -> None:
    model = build_model("shared", dropout=0.0).double()
    model.encoder.requires_grad_(False)
    backward(model, Recording("representation"))
    assert all((gradient is None) == name.startswith("encoder") for name, gradient in take(model).items())


def test_the_cut_keeps_tensors_without_history() -> None:
    cut, image, feature = RepresentationCut(), torch.rand(2), torch.rand(2, requires_grad=True) * 2
    first, second = cut([image, feature])
    assert first is image
    assert torch.equal(second, feature)
    assert second.is_leaf
    assert [len(cut.shared), len(cut.leaves)] == [1, 1]


def test_sharing_that_escapes_the_cut_is_refused() -> None:
    model = build_model("stitched", dropout=0.0).double()
    backward(model, Recording("representation"))  # networks alone: nothing shared, nothing to refuse
    model.enter_stage("together")
    with pytest.raises(UserError, match=r"share parameters but no representation.*set gradients_at to 'parameters'"):
        backward(model, Recording("representation"))
    backward(model, Recording("parameters"))


@pytest.mark.parametrize("name", ["mgda", "nash_mtl", "grad_drop", "pareto_mtl"])
@pytest.mark.parametrize("level", LEVELS)
def test_networks_that_share_nothing_keep_their_plain_gradients(level: str, name: str) -> None:
    model = build_model("apart", dropout=0.0).double().eval()
    expected = plain(model, dict.fromkeys((task.name for task in tasks()), 1.0))
    backward(model, BALANCERS.build({"name": name, "gradients_at": level}, tasks()))
    for key, gradient in take(model).items():
        torch.testing.assert_close(gradient, expected[key], rtol=1e-9, atol=1e-12, msg=key)


def test_a_pass_without_its_cut_is_a_defect() -> None:
    model = build_model("shared").double()
    loss = {task.name: torch.zeros((), requires_grad=True) for task in tasks()}
    with pytest.raises(TypeError, match="cut"):
        Recording("representation").backward(ForwardPass(model, loss, None, None, Tensor.backward))


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_finite_is_carried_on(level: str) -> None:
    """The loss scaler must see an overflow; an aggregator must not."""
    model = build_model("shared", dropout=0.0).double()
    balancer = PCGrad(tasks(), gradients_at=level)
    balancer.weighting = None  # type: ignore[assignment]  # nobody may ask it
    cut = balancer.cut()
    predictions = model(_image(model), cut)
    losses = {name: raw.mean() * float("inf") for name, raw in predictions.by_task.items()}
    balancer.backward(ForwardPass(model, losses, None, cut, Tensor.backward))
    gradient = take(model)["encoder.trunk.0.0.weight"]
    assert gradient is not None
    assert not gradient.isfinite().all()
