"""FAMO against torchjd's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchjd.scalarization import FAMO as Reference  # noqa: N811  # one name for one method

from frugalmtl.balancing import BALANCERS, StepContext
from frugalmtl.balancing.scalarization.bilevel.famo import FAMO
from frugalmtl.core.checks import UserError
from tests.support.balancing.bilevel_steps import Inputs, Small, backward, context, goes_on_exactly, inputs, take
from tests.support.tiny_training import run, tasks

NAMES = tuple(task.name for task in tasks())


@pytest.mark.parametrize("bounds", [None, {"edges": 0.5, "depth": 0.01}])
def test_steps_are_torchjds(bounds: dict[str, float] | None) -> None:
    model, twin = Small().double(), Small().double()
    balancer = FAMO(tasks(), min_losses=bounds)
    reference = Reference(3, torch.tensor([(bounds or {}).get(name, 0.0) for name in NAMES]))
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.05) for each in (model, twin)]
    for number in range(8):
        batch = inputs(number)
        expected_losses = torch.stack(twin(batch))
        reference(expected_losses).backward()
        expected = take(twin)
        around = context(model, optimizers[0], NAMES, [batch])
        balancer.before_step(around)
        balance = backward(model, balancer, [batch])
        assert sum(float(weight) for weight in balance.weights.values()) == pytest.approx(1.0)
        actual = take(model)
        for name, gradient in expected.items():
            torch.testing.assert_close(actual[name], gradient, rtol=1e-5, atol=1e-7, msg=name)
        for each, gradients in ((model, actual), (twin, expected)):
            for name, parameter in each.named_parameters():
                parameter.grad = gradients[name]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        balancer.after_step(around)
        reference.update(torch.stack(twin(batch)))
        torch.testing.assert_close(balancer.logits, reference._w.detach(), rtol=1e-4, atol=1e-5)
    assert balancer.logits.abs().max() > 0.05


def step(balancer: FAMO, before: list[float], after: list[float]) -> Tensor:
    """The weights of a step that changes the losses so."""
    values = {"now": before}

    def losses(_: Any) -> dict[str, Tensor]:
        return {name: torch.tensor(value) for name, value in zip(NAMES, values["now"], strict=True)}

    model = nn.Linear(1, 1)
    around = StepContext(model, [Inputs(torch.zeros(1))], [], losses, torch.optim.SGD(model.parameters()))  # type: ignore[list-item]
    balancer.before_step(around)
    weights = balancer.weigh(torch.tensor(before))
    values["now"] = after
    balancer.after_step(around)
    return weights


def test_one_step_by_hand() -> None:
    """z = 1/3 each, so weights go as 1 / L: (1/2, 2, 10) / 12.5; Adam's first step is its rate."""
    balancer = FAMO(tasks(), lr=0.1, weight_decay=0.0)
    weights = step(balancer, [2.0, 0.5, 0.1], [1.0, 0.5, 0.1])
    assert weights.tolist() == pytest.approx([0.04, 0.16, 0.8])
    # delta = (ln 2, 0, 0): the first fell by itself, so its share shrinks and the others' grow
    assert balancer.logits.tolist() == pytest.approx([-0.1, 0.1, 0.1])
    assert balancer.adam.mean.tolist() == pytest.approx(
        [0.1 * math.log(2) * factor for factor in (2 / 9, -1 / 9, -1 / 9)], rel=1e-4
    )


def test_fixed_weights_change_the_scale_alone() -> None:
    plain, fixed = FAMO(tasks()), FAMO(tasks(), weights={"segmentation": 1.0, "depth": 4.0, "edges": 50.0})
    results = []
    for balancer in (plain, fixed):
        model = Small().double()
        around = context(model, torch.optim.SGD(model.parameters()), NAMES, [inputs(0)])
        balancer.before_step(around)
        weights = backward(model, balancer, [inputs(0)]).weights
        results.append(torch.stack([torch.as_tensor(weight) for weight in weights.values()]))
    torch.testing.assert_close(results[0] / results[0].sum(), results[1] / results[1].sum(), rtol=1e-5, atol=1e-8)


def test_bounds_are_those_of_the_unweighted_loss() -> None:
    one = FAMO(tasks(), min_losses={"depth": 0.3})
    other = FAMO(tasks(), min_losses={"depth": 0.3}, weights={"segmentation": 2.0, "depth": 2.0, "edges": 2.0})
    losses = torch.tensor([2.0, 0.5, 0.1])
    torch.testing.assert_close(one.weigh(losses), other.weigh(2 * losses))
    assert FAMO(tasks(), min_losses={"depth": 9.0}).weigh(losses).isfinite().all()


def test_a_task_without_labels_is_left_out() -> None:
    balancer, pair = FAMO(tasks(), lr=0.1, weight_decay=0.0), FAMO(tasks(), lr=0.1, weight_decay=0.0)
    weights = step(balancer, [2.0, 0.0, 0.1], [1.0, 0.0, 0.1])
    assert weights.tolist() == pytest.approx([0.5 / 10.5, 0.0, 10 / 10.5])
    assert balancer.logits.tolist() == pytest.approx([-0.1, 0.0, 0.1])
    step(pair, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert pair.logits.tolist() == [0.0, 0.0, 0.0]
    assert pair.weigh(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_losses_that_are_not_finite_move_no_weight() -> None:
    balancer = FAMO(tasks())
    step(balancer, [1.0, 1.0, 1.0], [1.0, float("nan"), 1.0])
    assert balancer.logits.tolist() == [0.0, 0.0, 0.0]
    assert balancer.adam.steps == 0


def test_accumulated_batches_count_as_one() -> None:
    model = Small().double()
    balancer = FAMO(tasks(), lr=0.1, weight_decay=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [inputs(0), inputs(1)]
    around = context(model, optimizer, NAMES, batches)
    balancer.before_step(around)
    before = torch.stack([torch.stack(model(batch)) for batch in batches]).mean(0).detach()
    backward(model, balancer, batches)
    optimizer.step()
    balancer.after_step(around)
    after = torch.stack([torch.stack(model(batch)) for batch in batches]).mean(0).detach()
    delta = before.log() - after.log()
    gradient = (delta - delta.mean()) / 3
    torch.testing.assert_close(balancer.adam.mean.double(), 0.1 * gradient, rtol=1e-4, atol=1e-7)


def test_dropout_is_the_same_before_and_after() -> None:
    """A step of length 0 changes no loss, whatever dropout draws; and the run draws what it would have drawn."""

    class Noisy(Small):
        def forward(self, inputs: Tensor, cut: Any = None) -> list[Tensor]:
            return super().forward(nn.functional.dropout(inputs, 0.5), cut)

    model, balancer = Noisy().double(), FAMO(tasks(), weight_decay=0.0)
    batches = [inputs(0), inputs(1)]
    around = context(model, torch.optim.SGD(model.parameters(), lr=0.1), NAMES, batches)
    torch.manual_seed(5)
    balancer.before_step(around)
    backward(model, balancer, batches)
    expected = torch.get_rng_state()
    balancer.after_step(around)
    assert torch.equal(torch.get_rng_state(), expected)
    assert balancer.adam.mean.abs().max() < 1e-9
    assert balancer.adam.steps == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_losses": {"dept": 0.1}}, "Did you mean 'depth'"),
        ({"min_losses": {"depth": math.nan}}, "min_losses of famo for 'depth' must be finite"),
        ({"lr": 0.0}, "lr of famo must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay of famo must be 0 or more"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BALANCERS.build({"name": "famo", **options}, tasks())


def test_training_goes_on_exactly(tmp_path: Path) -> None:
    balancer, _ = goes_on_exactly(tmp_path, "famo", accumulate=2)
    assert balancer.logits.abs().max() > 0


def test_running_statistics_move_once_per_step(tmp_path: Path) -> None:
    model, _, result = run(tmp_path, balancer="famo", epochs=1)
    assert {int(value) for name, value in model.state_dict().items() if "num_batches" in name} == {result.steps}


def test_a_step_that_the_loss_scaler_skips_moves_no_weight() -> None:
    """Gradients have overflowed and the parameters are as before; Adam would go on by its momentum."""
    model, balancer = Small().double(), FAMO(tasks())
    for overflow in (False, True):
        around = context(model, torch.optim.SGD(model.parameters(), lr=0.1), NAMES, [inputs(0)])
        before = {name: value.clone() for name, value in balancer.state_dict().items()}
        balancer.before_step(around)
        backward(model, balancer, [inputs(0)])
        if overflow:
            model.encoder.last.bias.grad[0] = math.inf  # type: ignore[index]
        else:
            around.optimizer.step()
        balancer.after_step(around)
        moved = [name for name, value in balancer.state_dict().items() if not torch.equal(value, before[name])]
        assert bool(moved) == (not overflow)
