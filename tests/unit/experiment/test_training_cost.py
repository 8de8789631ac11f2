"""Figures of a training step: what is counted, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from frugalmtl.balancing import BALANCERS, Balancer, BalancerReport, ForwardPass, StepContext
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.training_cost import step_figures
from frugalmtl.experiment.runs.build import Built, build
from tests.support.tiny_training import build_model, tasks


def row(balancer: str | dict[str, Any] | Balancer = "uniform") -> Built:
    chosen = balancer if isinstance(balancer, Balancer) else BALANCERS.build(balancer, tasks())
    return Built(tasks(), None, build_model("shared"), chosen, (12, 12))  # type: ignore[arg-type]


class Recorder(Balancer):
    """Sums the losses, holds a megabyte more for the length of every step, and writes down what was called."""

    needs_validation_stream = True
    calls: ClassVar[list[str]] = []

    def __init__(self, extra: int) -> None:
        super().__init__(tasks())
        self.extra = extra

    def before_step(self, context: StepContext) -> None:
        assert context.optimizer.param_groups
        statistics = [buffer.clone() for buffer in context.model.buffers()]
        assert list(context.losses(context.validation[0])) == list(self.task_names)
        assert all(map(torch.equal, statistics, context.model.buffers()))
        self.calls.append("before")

    def choose(self) -> tuple[str, ...]:
        self.calls.append("choose")
        return self.task_names[:2]

    def backward(self, step: ForwardPass) -> BalancerReport:
        assert (tuple(step.losses), step.wanted) == (self.task_names, self.task_names[:2])
        assert all(parameter.grad is None for parameter in step.model.parameters())
        held = torch.zeros(self.extra, dtype=torch.uint8)
        step.backward(torch.stack(list(step.losses.values())).sum())
        self.calls.append(f"backward {len(held)}")
        return BalancerReport()

    def after_step(self, context: StepContext) -> None:
        self.calls.append("after")


def test_a_step_calls_every_hook_once_and_one_round_is_not_counted() -> None:
    Recorder.calls.clear()
    figures = step_figures({"one": row(Recorder(5))}, batch_size=2, rounds=3)
    once = ["choose", "before", "backward 5", "after"]
    assert Recorder.calls == once * (1 + 3 + 1)  # one before, three timed, one for memory
    assert figures["one"].median_ms > 0


def test_memory_differs_by_what_a_balancer_holds() -> None:
    extra = 1 << 20
    figures = step_figures({"plain": row(Recorder(0)), "more": row(Recorder(extra))}, batch_size=2, rounds=1)
    # An empty tensor counts 0 bytes; the pass before the step does not reach the peak.
    assert figures["more"].memory - figures["plain"].memory == extra


def test_equal_rows_have_equal_memory_in_any_order() -> None:
    first = step_figures({"a": row(), "b": row("pcgrad"), "c": row()}, batch_size=2, rounds=1)
    second = step_figures({"b": row("pcgrad"), "a": row()}, batch_size=2, rounds=2)
    assert first["a"].memory == first["c"].memory == second["a"].memory
    assert first["b"].memory == second["b"].memory
    gradients = sum(parameter.numel() * 4 for parameter in row().model.parameters())
    assert first["a"].memory > gradients


@pytest.mark.parametrize("level", ["parameters", "parameters_batched"])
def test_gradients_of_every_task_at_the_parameters_take_memory(level: str) -> None:
    wide = {"uniform": row(), "pcgrad": row({"name": "pcgrad", "gradients_at": level})}
    for built in wide.values():  # few pixels, many parameters: then copies of gradients decide
        trunk = built.model.encoder.trunk
        trunk.append(torch.nn.Conv2d(4, 2000, 1))
        trunk.append(torch.nn.Conv2d(2000, 4, 1))
    wide = {name: replace(built, image_size=(2, 2)) for name, built in wide.items()}
    figures = step_figures(wide, batch_size=1, rounds=1)
    gradients = sum(parameter.numel() * 4 for parameter in wide["uniform"].model.encoder.parameters())
    assert figures["pcgrad"].memory > figures["uniform"].memory + 1.5 * gradients


def test_rows_and_generators_are_left_as_they_were() -> None:
    built = row("uncertainty")
    weights = {name: value.clone() for name, value in built.model.state_dict().items()}
    before = torch.get_rng_state()
    step_figures({"one": built}, batch_size=2, rounds=1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, weights[name]) for name, value in built.model.state_dict().items())
    assert all(parameter.grad is None for parameter in (*built.model.parameters(), *built.balancer.parameters()))


def test_a_real_experiment_with_a_penalty_of_its_last_stage() -> None:
    section = {"name": "timm", "model": "test_resnet"}
    config = Experiment(image_size=(32, 32), tasks=[{"kind": "depth"}, {"kind": "edges"}], backbone=section)
    gated = replace(config, encoder={"name": "interrogate", "budget": "0.9x", "frozen_share": 0.25})
    figures = step_figures({"shared": build(config), "gated": build(gated)}, batch_size=2, rounds=1)
    assert figures["gated"].memory > figures["shared"].memory


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"rows": {}}, "at least one row"), ({"rounds": 0}, "rounds must be above 0"), ({"batch_size": 0}, "above 0")],
)
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        step_figures(**{"rows": {"one": row()}, "rounds": 1, **arguments})
