"""Auto-lambda's finite difference against the exact gradient through the virtual step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from frugalmtl.balancing import BALANCERS, StepContext
from frugalmtl.balancing.scalarization.bilevel.auto_lambda import AutoLambda
from frugalmtl.core.checks import UserError
from frugalmtl.engine.optimizers import OptimizerSet
from tests.support.balancing.bilevel_steps import Small, backward, context, goes_on_exactly, inputs, take
from tests.support.tiny_training import TinyLoader, run, tasks

NAMES = tuple(task.name for task in tasks())
TRAIN, VALIDATION = [inputs(0), inputs(1)], [inputs(2), inputs(3)]


def joint(model: Small, values: dict[str, Tensor], batches: list[Tensor]) -> Tensor:
    return torch.stack([torch.stack(functional_call(model, values, (batch,))) for batch in batches]).mean(0)


def exact(
    model: Small,
    optimizer: torch.optim.Optimizer,
    weights: Tensor,
    primary: Tensor,
    fixed: Tensor,
) -> Tensor:
    """d/dw of the primary tasks' loss after the step that torch's SGD would take."""
    learned = weights.double().clone().requires_grad_()
    values = dict(model.named_parameters())
    loss = (learned * fixed * joint(model, values, TRAIN)).sum()
    slopes = torch.autograd.grad(loss, [*values.values()], create_graph=True)
    after = {}
    for (name, value), slope in zip(values.items(), slopes, strict=True):
        (group,) = (each for each in optimizer.param_groups if any(value is item for item in each["params"]))
        slope = slope + group["weight_decay"] * value
        states = [member.state for member in getattr(optimizer, "members", [optimizer])]
        buffers = [state[value]["momentum_buffer"] for state in states if "momentum_buffer" in state.get(value, {})]
        if buffers:
            slope = slope + group["momentum"] * buffers[0]
        after[name] = value - group["lr"] * slope
    (gradient,) = torch.autograd.grad((primary * fixed * joint(model, after, VALIDATION)).sum(), learned)
    return gradient


def warm(model: Small, optimizer: torch.optim.Optimizer) -> None:
    """A step that leaves momenta."""
    torch.stack(model(inputs(9))).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def sgd(model: Small) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)


def several(model: Small) -> torch.optim.Optimizer:
    options = {"momentum": 0.9, "weight_decay": 0.01}
    last = model.encoder.last.parameters()
    groups = [{"params": [*model.encoder.first.parameters()], "lr": 0.1}, {"params": [*last], "lr": 0.02}]
    return OptimizerSet(
        [torch.optim.SGD(groups, **options), torch.optim.SGD(model.heads.parameters(), lr=0.05, momentum=0.5)]
    )


def adam(model: Small) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=0.01)


@pytest.mark.parametrize("primary", [None, ["depth"]])
@pytest.mark.parametrize("make", [sgd, several, adam])
def test_the_difference_is_the_gradient_through_the_step(make: Any, primary: list[str] | None) -> None:
    model = Small().double()
    optimizer = make(model)
    warm(model, optimizer)
    balancer = AutoLambda(tasks(), primary=primary, epsilon=1e-4, weights={"depth": 2.0, "edges": 1.0})
    balancer.lambdas.copy_(torch.tensor([0.5, 0.1, 0.3]))
    mask = torch.tensor([float(primary is None or name in primary) for name in NAMES], dtype=torch.float64)
    fixed = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    expected = exact(model, optimizer, balancer.lambdas, mask, fixed)
    actual = balancer.gradient(context(model, optimizer, NAMES, TRAIN, VALIDATION))
    assert actual is not None
    torch.testing.assert_close(actual.double(), expected, rtol=1e-3, atol=1e-6)
    assert expected.abs().max() > 1e-3


def test_the_default_displacement_is_close() -> None:
    model = Small().double()
    optimizer = sgd(model)
    actual = AutoLambda(tasks()).gradient(context(model, optimizer, NAMES, TRAIN, VALIDATION))
    expected = exact(model, optimizer, torch.full((3,), 0.1), torch.ones(3).double(), torch.ones(3).double())
    assert actual is not None
    torch.testing.assert_close(actual.double(), expected, rtol=1e-3, atol=1e-5)


def test_one_step_by_hand() -> None:
    """L_1 = p^2 / 2, L_2 = p, p = 3, lr 0.1, w 0.1: p' = 3 - 0.1 (0.3 + 0.1) = 2.96; with L_1 primary d = 2.96, and
    the gradients are -0.1 * 2.96 * (3, 1)."""

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

        def forward(self, _: Tensor) -> list[Tensor]:
            return [self.p.square() / 2, self.p * 1.0]

    model = Line()
    balancer = AutoLambda(tasks()[:2], primary=["segmentation"], lr=0.01)
    around = context(model, torch.optim.SGD(model.parameters(), lr=0.1), NAMES[:2], [inputs(0)], [inputs(1)])
    actual = balancer.gradient(around)
    assert actual is not None
    assert actual.tolist() == pytest.approx([-0.888, -0.296])
    balancer.before_step(around)
    assert balancer.lambdas.tolist() == pytest.approx([0.11, 0.11])


def test_everything_is_as_before() -> None:
    class Noisy(Small):
        def forward(self, inputs: Tensor, cut: Any = None) -> list[Tensor]:
            return super().forward(nn.functional.dropout(inputs, 0.5), cut)

    model = Noisy()  # float32, where theta + d - d would not be theta
    optimizer = sgd(model)
    warm_inputs = [item.float() for item in TRAIN]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.get_rng_state()
    balancer = AutoLambda(tasks(), lr=0.01)
    balancer.before_step(context(model, optimizer, NAMES, warm_inputs, [item.float() for item in VALIDATION]))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), expected)
    assert not torch.equal(balancer.lambdas, torch.full((3,), 0.1))


def test_parameters_come_back_from_an_error() -> None:
    model = Small().double()
    around = context(model, sgd(model), NAMES, TRAIN, VALIDATION)
    calls = []

    def failing(batch: Any) -> dict[str, Tensor]:
        calls.append(batch)
        if len(calls) == 6:  # at theta + eps d
            raise MemoryError
        return around.losses(batch)

    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(MemoryError):
        AutoLambda(tasks()).before_step(replace(around, losses=failing))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frozen_parameters_stay() -> None:
    model = Small().double()
    model.encoder.first.requires_grad_(False)
    optimizer = torch.optim.SGD([item for item in model.parameters() if item.requires_grad], lr=0.05)
    assert AutoLambda(tasks()).gradient(context(model, optimizer, NAMES, TRAIN, VALIDATION)) is not None


def without_labels(around: StepContext, absent: str, *, validation: bool) -> StepContext:
    chosen = {id(batch) for batch in (around.validation if validation else around.batches)}

    def losses(batch: Any) -> dict[str, Tensor]:
        actual = around.losses(batch)
        return {name: loss * (0.0 if name == absent and id(batch) in chosen else 1.0) for name, loss in actual.items()}

    return replace(around, losses=losses)


def test_a_task_without_labels_has_no_gradient() -> None:
    model = Small().double()
    around = context(model, sgd(model), NAMES, TRAIN, VALIDATION)
    actual = AutoLambda(tasks()).gradient(without_labels(around, "depth", validation=False))
    assert actual is not None
    assert actual[1] == 0
    assert actual[0] != 0


def test_without_primary_labels_nothing_moves() -> None:
    model, balancer = Small().double(), AutoLambda(tasks(), primary=["depth"])
    around = context(model, sgd(model), NAMES, TRAIN, VALIDATION)
    balancer.before_step(without_labels(around, "depth", validation=True))
    assert torch.equal(balancer.lambdas, torch.full((3,), 0.1))
    assert balancer.adam.steps == 0


def test_weights_do_not_fall_below_zero() -> None:
    """A task whose step hurts the primary one: L_2 = -p with L_1 = p^2 / 2."""

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.tensor(3.0))

        def forward(self, _: Tensor) -> list[Tensor]:
            return [self.p.square() / 2, 5 - self.p]

    model = Line()
    balancer = AutoLambda(tasks()[:2], primary=["segmentation"], lr=0.03)
    around = context(model, torch.optim.SGD(model.parameters(), lr=0.1), NAMES[:2], [inputs(0)], [inputs(1)])
    for _ in range(8):
        balancer.before_step(around)
    assert balancer.lambdas[1] == 0
    assert balancer.lambdas[0] > 0.2


def test_the_weights_are_used_as_they_are() -> None:
    model, balancer = Small().double(), AutoLambda(tasks(), weights={"edges": 2.0})
    balancer.lambdas.copy_(torch.tensor([0.5, 0.1, 0.3]))
    balance = backward(model, balancer, [inputs(0)])
    assert [float(weight) for weight in balance.weights.values()] == pytest.approx([0.5, 0.1, 0.6])
    actual = take(model)
    (torch.stack(model(inputs(0))) * torch.tensor([0.5, 0.1, 0.6])).sum().backward()
    for name, gradient in take(model).items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-6, atol=1e-9, msg=name)


def test_auxiliary_tasks_are_not_primary() -> None:
    chosen = [replace(task, auxiliary=task.name == "edges") for task in tasks()]
    assert AutoLambda(chosen).primary == ["segmentation", "depth"]
    with pytest.raises(UserError, match="primary of auto_lambda must name one task or more"):
        AutoLambda([replace(task, auxiliary=True) for task in tasks()])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"primary": ["dept"]}, "Did you mean 'depth'"),
        ({"primary": []}, "primary of auto_lambda must name one task or more"),
        ({"epsilon": 0.0}, "epsilon of auto_lambda must be above 0"),
        ({"init": -0.1}, "init of auto_lambda must be above 0"),
        ({"init": float("inf")}, "init of auto_lambda must be finite"),
        ({"lr": 0.0}, "lr of auto_lambda must be above 0"),
        ({"held_out": 1.0}, r"held_out of auto_lambda must lie in \[0, 1\), but got 1.0"),
        ({"held_out": -0.1}, "held_out of auto_lambda must lie in"),
        ({"held_out": float("nan")}, "held_out of auto_lambda must lie in"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BALANCERS.build({"name": "auto_lambda", **options}, tasks())


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.01}, {"name": "adam", "lr": 0.01}], ids=str)
def test_training_goes_on_exactly(optimizer: dict[str, Any], tmp_path: Path) -> None:
    section = {"name": "auto_lambda", "lr": 0.01}
    balancer, _ = goes_on_exactly(tmp_path, section, accumulate=2, optimizer=optimizer)
    assert (balancer.lambdas - 0.1).abs().max() > 0.01


def test_running_statistics_move_once_per_step(tmp_path: Path) -> None:
    model, _, result = run(tmp_path, balancer="auto_lambda", epochs=1, validation=TinyLoader())
    assert {int(value) for name, value in model.state_dict().items() if "num_batches" in name} == {result.steps}
