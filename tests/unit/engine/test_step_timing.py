"""Step timing: noise that suits every task, and steps that are taken as a training takes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.step_timing import StepTimer, noise_batch, time_steps
from frugalmtl.losses import LOSSES
from frugalmtl.tasks import TASKS, Task
from tests.support.tiny_training import build_balancer, build_batch, build_model, tasks

ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "segmentation": [{"classes": ("a", "b", "c")}],
    "human_parts": [{}],
    "classification": [
        {"classes": ("a", "b", "c")},
        {"name": "kind_of_scene", "classes": ("a", "b", "c"), "exclusive": True},
    ],
}
EVERY_TASK: list[Task] = [
    TASKS.build({"name": name}) if not arguments else TASKS.get(name)(**arguments)
    for name in TASKS.names()
    for arguments in ARGUMENTS.get(name, [{}])
]


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_noise_suits_the_loss_and_counts_everywhere(task: Task) -> None:
    batch = noise_batch([task], (8, 6), 3)
    target, valid = batch.targets[task.name], batch.valid[task.name]
    raw = torch.randn(3, task.channels, *((8, 6) if task.dense else ()), requires_grad=True)
    loss = LOSSES.get(task.loss.name)(raw, target, valid, **task.loss.args)
    loss.backward()
    assert loss > 0
    assert raw.grad is not None
    assert (raw.grad.abs().sum(dim=1) > 0).all()
    assert valid.all()
    assert torch.stack([task.valid(label).all() for label in target]).all()


def test_noise_is_the_same_every_time_and_draws_from_nobody() -> None:
    before = torch.get_rng_state()
    one, other = (noise_batch(tasks(), (6, 6), 2) for _ in range(2))
    assert torch.equal(one.image, other.image)
    assert all(torch.equal(one.targets[name], other.targets[name]) for name in one.targets)
    assert torch.equal(before, torch.get_rng_state())


def timer(encoder: str = "shared", **options: Any) -> StepTimer:
    settings = TrainSettings(epochs=4, optimizer={"name": "sgd", "lr": 0.01}, channels_last=False)
    return StepTimer.at_stage(build_model(encoder), build_balancer(), settings, build_batch(0), **options)


def test_parts_add_up_to_at_most_the_whole_and_the_update_is_counted_where_it_is_taken() -> None:
    times = time_steps({"without": timer(), "with": timer(update=True)}, 3, parts=True)
    assert {name: set(parts) for name, parts in times.items()} == {
        "without": {"total", "forward", "backward"},
        "with": {"total", "forward", "backward", "update"},
    }
    assert all(value > 0 for parts in times.values() for value in parts.values())
    once = timer(update=True).time(parts=True)
    assert sum(value for part, value in once.items() if part != "total") <= once["total"]
    assert set(timer().time()) == {"total"}


@pytest.mark.parametrize("update", [False, True])
def test_parameters_move_with_an_update_only(update: bool) -> None:
    step = timer(update=update)
    before = {name: value.detach().clone() for name, value in step.setup.model.named_parameters()}
    step.take()
    moved = any(not torch.equal(before[name], value) for name, value in step.setup.model.named_parameters())
    assert moved == update
    assert all(value.grad is not None for value in step.setup.model.parameters())
    step.clear()
    assert all(value.grad is None for value in step.setup.model.parameters())


def test_a_timer_stands_at_the_last_stage() -> None:
    step = timer("stitched")
    assert step.setup.stage.name == "together"
    assert step.setup.model.encoder.exchanging
    assert not any(parameter.requires_grad for parameter in step.setup.model.encoder.first.parameters())


def test_every_round_begins_with_another_row(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    timers = {name: timer() for name in "abc"}
    for name, one in timers.items():
        monkeypatch.setattr(one, "take", lambda _mark=None, name=name: order.append(name))
    time_steps(timers, 3)
    assert "".join(order) == "cab" + "abc" + "bca" + "cab"
    with pytest.raises(UserError, match="rounds must be above 0"):
        time_steps(timers, 0)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_timed_step_has_the_precision_of_its_settings(precision: Any) -> None:
    settings = TrainSettings(precision=precision)
    step = StepTimer.at_stage(build_model(), build_balancer(), settings, build_batch(0))
    kinds = set()
    step.setup.model.decoder.register_forward_hook(lambda _module, _inputs, out: kinds.add(out.by_task["depth"].dtype))
    step.take()
    assert kinds == {torch.bfloat16 if precision == "bf16-mixed" else torch.float16}
    assert (step.setup.scaler is not None) == (precision == "16-mixed")
