"""Gradients per task, at both levels, against one plain backward pass."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS, ForwardPass, RepresentationCut
from frugalmtl.balancing.aggregation.base import Aggregator
from frugalmtl.balancing.aggregation.pcgrad import PCGrad
from frugalmtl.balancing.gradients import AtLayer
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.losses import task_losses
from tests.support.balancing.task_gradients import (
    LEVELS,
    MODELS,
    Recording,
    backward,
    image_of,
    plain,
    take,
)
from tests.support.tiny_training import build_batch, build_model, tasks


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MODELS)
def test_summed_gradients_are_those_of_a_plain_backward_pass(name: str, level: str, penalty: bool) -> None:
    model = MODELS[name]().double().eval()
    balancer = Recording(level)
    expected = plain(model, balancer.weights, penalty=penalty)
    backward(model, balancer, penalty=penalty)
    actual = take(model)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in actual.values())
    for key, gradient in expected.items():
        if gradient is None:
            assert actual[key] is None, key
        else:
            torch.testing.assert_close(actual[key], gradient, rtol=1e-9, atol=1e-12, msg=key)


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
    actual = []
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
        actual.append(take(model))
    assert any(gradient.abs().sum() > 0 for key, gradient in actual[0].items() if key.startswith("encoder"))
    for key, gradient in actual[0].items():
        torch.testing.assert_close(actual[1][key], gradient, rtol=1e-7, atol=1e-10, msg=key)


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
    predictions = model(image_of(model), cut)
    losses = {name: raw.mean() * float("inf") for name, raw in predictions.by_task.items()}
    balancer.backward(ForwardPass(model, losses, None, cut, Tensor.backward))
    gradient = take(model)["encoder.trunk.0.0.weight"]
    assert gradient is not None
    assert not gradient.isfinite().all()


def test_norms_at_one_layer_are_those_of_the_joint_batch() -> None:
    """Against autograd through the whole model; two accumulated batches, with a loss scale."""
    model = build_model("shared", dropout=0.0).double().eval()
    layer = [name for name, _ in model.encoder.named_parameters()].index("trunk.0.0.weight")
    weight = [*model.encoder.parameters()][layer]
    gradients, expected = AtLayer(layer), torch.zeros(3, *weight.shape, dtype=torch.float64)
    for seed in (1, 2):
        batch, cut = build_batch(seed), RepresentationCut()
        batch.image = batch.image.double()
        plain_losses = task_losses(model(batch.image), batch, model.tasks).values()
        rows = [torch.autograd.grad(loss, [weight], retain_graph=True)[0] for loss in plain_losses]
        expected += torch.stack(rows) / 2
        losses = task_losses(model(batch.image, cut), batch, model.tasks)
        step = ForwardPass(model, losses, None, cut, Tensor.backward, scale=8.0 / 2, loss_scale=8.0)
        gradients.add(step, [*losses.values()])
    torch.testing.assert_close(gradients.norms(), expected.flatten(1).norm(dim=1))
    assert weight.grad is None
