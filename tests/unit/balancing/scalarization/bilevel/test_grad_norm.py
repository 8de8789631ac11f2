"""GradNorm against autograd's gradient of the published objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS, ForwardPass
from frugalmtl.balancing._sharing import last_shared_layer
from frugalmtl.balancing.scalarization.bilevel.grad_norm import GradNorm
from frugalmtl.core.checks import UserError
from frugalmtl.losses import task_losses
from tests.support.balancing.bilevel_steps import Small, backward, goes_on_exactly, inputs, take
from tests.support.tiny_training import build_batch, build_model, tasks


def published(
    model: Small, batches: list[Tensor], weights: Tensor, first: Tensor | None, alpha: float, at: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Gradient of sum_t |w_t n_t - target_t| by autograd, and the losses of the joint batch."""
    losses = torch.stack([torch.stack(model(batch)) for batch in batches]).mean(0)
    rows = [torch.autograd.grad(loss, at, retain_graph=True) for loss in losses]
    norms = torch.stack([torch.cat([item.reshape(-1) for item in row]).norm() for row in rows])
    losses = losses.detach()
    learned = weights.double().clone().requires_grad_()
    sizes = learned * norms
    pace = losses / (losses if first is None else first)
    target = (sizes.mean() * (pace / pace.mean()) ** alpha).detach()
    (gradient,) = torch.autograd.grad((sizes - target).abs().sum(), learned)
    return gradient, losses


@pytest.mark.parametrize("norms_at", ["last_layer", "parameters"])
@pytest.mark.parametrize("alpha", [1.5, 1.0, 0.0])
def test_weights_follow_the_published_objective(norms_at: Any, alpha: float) -> None:
    model = Small().double()
    balancer = GradNorm(tasks(), alpha=alpha, norms_at=norms_at)
    at = [model.encoder.last.weight] if norms_at == "last_layer" else [*model.encoder.parameters()]
    weights = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    adam = torch.optim.Adam([weights], lr=0.025)
    first = None
    for number in range(6):
        batches = [inputs(10 * number), inputs(10 * number + 1)]
        weights.grad, losses = published(model, batches, weights.detach(), first, alpha, at)
        first = losses if first is None else first
        balance = backward(model, balancer, batches, loss_scale=64.0 if number % 2 else 1.0)
        used = torch.tensor([balance.weights[task.name] for task in tasks()], dtype=torch.float64)
        torch.testing.assert_close(used, weights.detach(), rtol=1e-4, atol=1e-4)
        adam.step()
        with torch.no_grad():
            weights.mul_(3 / weights.sum())
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(parameter.grad, alpha=0.02 / (64.0 if number % 2 else 1.0))
        model.zero_grad()
    torch.testing.assert_close(balancer.learned.double(), weights.detach(), rtol=1e-4, atol=1e-4)
    assert (balancer.learned - 1).abs().max() > 0.05
    assert balancer.learned.sum().item() == pytest.approx(3.0)


def test_one_step_by_hand() -> None:
    """Norms (1, 2, 6) with even pace have mean 3: two are too small, one too large; Adam's first step is its rate."""
    balancer = GradNorm(tasks(), lr=0.1)
    balancer._learn(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([5.0, 5.0, 5.0]))
    expected = torch.tensor([1.1, 1.1, 0.9]) * 3 / 3.1
    torch.testing.assert_close(balancer.learned, expected)
    assert balancer.first_losses.tolist() == [5.0, 5.0, 5.0]


def test_a_task_that_lags_gains() -> None:
    balancer = GradNorm(tasks(), lr=0.1)
    balancer.first_losses.fill_(1.0)
    balancer._learn(torch.ones(3), torch.tensor([0.1, 0.1, 0.9]))
    assert balancer.learned[2] > 1 > balancer.learned[0]


def test_weights_stay_positive() -> None:
    balancer = GradNorm(tasks(), lr=0.5)
    for _ in range(20):
        balancer._learn(torch.tensor([1.0, 1.0, 1e6]), torch.ones(3))
    assert (balancer.learned > 0).all()
    assert balancer.learned.sum().item() == pytest.approx(3.0)


@pytest.mark.parametrize("norms_at", ["last_layer", "parameters"])
@pytest.mark.parametrize("normalise", [None, "mean"])
def test_the_model_gets_the_gradient_of_the_weighted_loss(norms_at: Any, normalise: Any) -> None:
    model = Small().double()
    balancer = GradNorm(tasks(), norms_at=norms_at, normalise=normalise, weights={"depth": 2.0, "edges": 0.5})
    balancer.learned.copy_(torch.tensor([0.5, 1.5, 1.0]))
    balance = backward(model, balancer, [inputs(0), inputs(1)])
    actual = take(model)
    weights = torch.tensor([0.5, 3.0, 0.5]) / (3 if normalise else 1)
    assert [float(value) for value in balance.weights.values()] == pytest.approx(weights.tolist())
    for batch in (inputs(0), inputs(1)):
        (torch.stack(model(batch)) * weights.double()).sum().div(2).backward()
    for name, gradient in take(model).items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("norms_at", ["last_layer", "parameters"])
def test_a_penalty_is_added_and_not_compared(norms_at: Any) -> None:
    model = Small().double()
    plain, other = GradNorm(tasks(), norms_at=norms_at), GradNorm(tasks(), norms_at=norms_at)
    backward(model, plain, [inputs(0)])
    expected = take(model)
    cut = other.cut()
    losses = dict(zip(other.task_names, model(inputs(0), cut), strict=True))
    penalty = cut.shared[0].square().sum() + cut.leaves[0].sum()  # type: ignore[union-attr]
    other.backward(ForwardPass(model, losses, penalty, cut, Tensor.backward))
    actual = take(model)
    shared = model.encoder(inputs(0))
    (shared.square().sum() + shared.sum()).backward()
    for name, gradient in take(model).items():
        torch.testing.assert_close(actual[name], expected[name] + gradient, rtol=1e-6, atol=1e-9, msg=name)
    assert torch.equal(plain.learned, other.learned)


def test_fixed_weights_scale_the_norms() -> None:
    """The published objective of losses that were multiplied before."""
    plain, fixed = GradNorm(tasks(), lr=0.1), GradNorm(tasks(), lr=0.1, weights={"edges": 1e-3})
    for balancer in (plain, fixed):
        backward(Small().double(), balancer, [inputs(0)])
    assert plain.learned[2] < 1 < fixed.learned[2]


def test_norms_in_the_log_are_those_of_unweighted_losses() -> None:
    model, balancer = Small().double(), GradNorm(tasks(), norms_at="parameters", weights={"edges": 0.25})
    balancer.learned.copy_(torch.tensor([0.5, 1.5, 1.0]))
    balance = backward(model, balancer, [inputs(0)], loss_scale=8.0)
    for loss, (name, norm) in zip(model(inputs(0)), balance.norms.items(), strict=True):
        rows = torch.autograd.grad(loss, [*model.encoder.parameters()], retain_graph=True)
        assert float(norm) == pytest.approx(torch.cat([row.reshape(-1) for row in rows]).norm().item(), rel=1e-5), name
    assert len(balance.cosines) == 3


@pytest.mark.parametrize("absent", [0, 2])
def test_a_task_without_labels_is_left_out(absent: int) -> None:
    balancer = GradNorm(tasks(), lr=0.1)
    backward(Small().double(), balancer, [inputs(0)], absent=absent)
    assert balancer.learned.isfinite().all()
    others = [index for index in range(3) if index != absent]
    alone = GradNorm(tasks()[:2], lr=0.1)
    norms = torch.tensor([1.0, 4.0])
    alone._learn(norms, torch.ones(2))
    three = GradNorm(tasks(), lr=0.1)
    three._learn(torch.zeros(3).index_copy(0, torch.tensor(others), norms), (torch.arange(3) != absent).float())
    before = three.learned / three.learned[absent]  # its own weight has not moved but for the sum
    torch.testing.assert_close(before[others], alone.learned / alone.learned.sum() * 2, rtol=1e-5, atol=1e-5)
    assert three.first_losses[absent] == 0


def test_gradients_that_are_not_finite_move_no_weight() -> None:
    balancer = GradNorm(tasks())
    balancer._learn(torch.tensor([1.0, float("inf"), 2.0]), torch.ones(3))
    balancer._learn(torch.tensor([1.0, float("nan"), 2.0]), torch.ones(3))
    assert torch.equal(balancer.learned, torch.ones(3))
    assert balancer.adam.steps == 0


def test_the_first_epoch_is_even() -> None:
    """L(0) is the mean over those steps of the first epoch in which a task had labels."""
    model, balancer = Small().double(), GradNorm(tasks(), reference_loss="first_epoch", weights={"depth": 2.0})
    balancer.weights["edges"] = 1.0
    seen = [[float(loss.detach()) for loss in model(inputs(seed))] for seed in (0, 1)]
    backward(model, balancer, [inputs(0)])
    backward(model, balancer, [inputs(1)], absent=2)
    assert torch.equal(balancer.learned, torch.ones(3))
    balancer.end_epoch({}, None)
    expected = [(seen[0][0] + seen[1][0]) / 2, seen[0][1] + seen[1][1], seen[0][2]]
    assert balancer.first_losses.tolist() == pytest.approx(expected)
    backward(model, balancer, [inputs(0)])
    balancer.end_epoch({}, None)
    assert balancer.first_losses.tolist() == pytest.approx(expected)
    assert not torch.equal(balancer.learned, torch.ones(3))


def test_the_last_layer_is_found() -> None:
    model, balancer = build_model("shared"), GradNorm(tasks())
    cut, batch = balancer.cut(), build_batch(0)
    losses = task_losses(model(batch.image, cut), batch, model.tasks)
    step = ForwardPass(model, losses, None, cut, Tensor.backward)
    actual = last_shared_layer(step, [*losses.values()])
    assert actual is not None
    assert [name for name, _ in model.encoder.named_parameters()][actual] == "trunk.2.0.weight"


@pytest.mark.parametrize("norms_at", ["last_layer", "parameters"])
def test_sharing_without_a_common_layer_needs_all_parameters(norms_at: str) -> None:
    model = build_model("stitched")
    model.enter_stage("together")
    balancer = GradNorm(tasks(), norms_at=norms_at)  # type: ignore[arg-type]
    cut, batch = balancer.cut(), build_batch(0)
    step = ForwardPass(model, task_losses(model(batch.image, cut), batch, model.tasks), None, cut, Tensor.backward)
    if norms_at == "last_layer":
        with pytest.raises(UserError, match="set norms_at to 'parameters'"):
            balancer.backward(step)
    else:
        assert len(balancer.backward(step).weights) == 3
        assert not torch.equal(balancer.learned, torch.ones(3))


@pytest.mark.parametrize("norms_at", ["last_layer", "parameters"])
def test_where_nothing_is_shared_the_weights_stay(norms_at: str) -> None:
    """A stage in which every task trains its own network: nothing to refuse, nothing to compare."""
    model, balancer = build_model("apart"), GradNorm(tasks(), norms_at=norms_at)  # type: ignore[arg-type]
    cut, batch = balancer.cut(), build_batch(0)
    step = ForwardPass(model, task_losses(model(batch.image, cut), batch, model.tasks), None, cut, Tensor.backward)
    assert balancer.backward(step).norms == {}
    assert torch.equal(balancer.learned, torch.ones(3))
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha of grad_norm must be 0 or more, but got -1.0"),
        ({"alpha": float("inf")}, "alpha of grad_norm must be finite, but got inf"),
        ({"lr": 0.0}, "lr of grad_norm must be above 0, but got 0.0"),
        ({"reference_loss": "epoch"}, "reference_loss of grad_norm must be one of 'first_step', 'first_epoch'"),
        ({"norms_at": "head"}, "norms_at of grad_norm must be one of 'last_layer', 'parameters'"),
        ({"normalise": "max"}, "normalise of grad_norm must be one of None, 'sum', 'mean', but got 'max'"),
        ({"weights": {"dept": 1.0}}, "Did you mean 'depth'"),
    ],
    ids=str,
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GradNorm(tasks(), **options)
    if isinstance(next(iter(options.values())), str):  # a choice, which the config's schema refuses before
        message = f"balancer 'grad_norm': {next(iter(options))} must be"
    with pytest.raises(UserError, match=message):
        BALANCERS.build({"name": "grad_norm", **options}, tasks())


@pytest.mark.parametrize("options", [{}, {"reference_loss": "first_epoch"}, {"norms_at": "parameters"}], ids=str)
def test_training_goes_on_exactly(options: dict[str, Any], tmp_path: Path) -> None:
    balancer, result = goes_on_exactly(tmp_path, {"name": "grad_norm", **options}, accumulate=2)
    assert not torch.equal(balancer.learned, torch.ones(3))
    assert result.history[-1]["norms"].keys() == {task.name for task in tasks()}
