"""Scalarizers that weigh the losses of an aggregator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS, SCALARIZERS, Balancer, BalancerReport
from frugalmtl.balancing._stacking import stacks
from frugalmtl.balancing.aggregation.base import Aggregator
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.job import check_trainable
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import check
from tests.support.balancing.bilevel_steps import Small, backward, inputs, take
from tests.support.tiny_training import build_model, tasks

NAMES = tuple(task.name for task in tasks())
PAGE = Path(__file__).parents[3] / "docs" / "balancing.md"
AGGREGATORS = [name for name in BALANCERS.names() if "gradients_at" in BALANCERS.schema(name)]
INNER, OUTER = (0.5, 2.0, 3.0), (4.0, 1.0, 0.25)


class Halving(Scalarizer):
    """Weighs every loss with a half, by a layer of its own."""

    def __init__(self, chosen: Sequence[Any], **options: Any) -> None:
        super().__init__(chosen, **options)
        self.factor = torch.nn.Parameter(torch.tensor(0.5))
        self.calls: list[str] = []

    def weigh(self, losses: Tensor) -> Tensor:
        return self.factor.expand(len(losses))

    def groups(self) -> tuple[ParameterGroup, ...]:
        return (ParameterGroup("fac*", lr_factor=3.0),)

    def attach(self, model: torch.nn.Module) -> None:
        self.calls.append("attach")

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        self.calls.append(f"enter {epoch} of {epochs}")

    def end_epoch(self, losses: Any, scores: Any) -> None:
        self.calls.append(f"end {losses}")


class Judging(Halving):
    """Looks at what the step did."""

    def after_step(self, context: Any) -> None:
        self.calls.append("after")


class Choosing(Halving):
    """Takes one task a step."""

    def choose(self) -> tuple[str, ...]:
        return NAMES[:1]


def build(section: dict[str, Any]) -> Balancer:
    balancer: Balancer = BALANCERS.build(section, tasks())
    return balancer.double()


def update(section: dict[str, Any], **more: Any) -> tuple[dict[str, Tensor], BalancerReport, Balancer]:
    torch.manual_seed(3)
    model, balancer = Small().double(), build(section)
    report = backward(model, balancer, [inputs(0), inputs(1)], **more)
    return take(model), report, balancer


def by_task(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize("name", AGGREGATORS)
def test_an_aggregator_takes_the_gradients_of_the_weighted_losses(name: str) -> None:
    """Weights that are constant are as good as fixed ones; those of the aggregator itself go on top."""
    plain = {"name": name, **({"losses": "uniform"} if name == "imtl" else {})}
    weights = by_task([one * other for one, other in zip(INNER, OUTER, strict=True)])
    expected, report, _ = update({**plain, "weights": weights})
    losses = {"name": "fixed", "weights": by_task(INNER)}
    actual, stacked, _ = update({"name": name, "losses": losses, "weights": by_task(OUTER)})
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
    for part in ("weights", "norms", "cosines"):
        first, second = ({key: float(value) for key, value in getattr(one, part).items()} for one in (stacked, report))
        assert first == pytest.approx(second, rel=1e-6)


@pytest.mark.parametrize("name", SCALARIZERS.names())
def test_every_scalarizer_that_stacks_weighs_as_it_does_alone(name: str) -> None:
    """With plain sums above it, the update is its own, in its own parameters too."""
    section = {"name": "grad_drop", "leak": 1.0}  # which drops nothing
    torch.manual_seed(3)
    expected, alone, scalarizer = update({"name": name, "normalise": "sum"})
    actual, report, balancer = update({**section, "losses": {"name": name, "normalise": "sum"}})
    assert isinstance(balancer, Aggregator)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
    assert report.weights == pytest.approx({key: float(value) for key, value in alone.weights.items()})
    assert balancer.scalarizer is not None
    pairs = zip(balancer.scalarizer.parameters(), scalarizer.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs if one.grad is not None)
    assert [key.removeprefix("scalarizer.") for key in balancer.state_dict()] == list(scalarizer.state_dict())


@pytest.mark.parametrize("name", ["imtl", "nash_mtl"])
def test_the_loss_scale_of_mixed_precision_multiplies_every_gradient(name: str) -> None:
    section = {"name": name, "losses": "imtl_l"}
    plain, _, balancer = update(section)
    scaled, _, other = update(section, loss_scale=8.0)
    torch.testing.assert_close(scaled, {key: 8.0 * value for key, value in plain.items()}, rtol=1e-6, atol=1e-9)
    pairs = zip(balancer.parameters(), other.parameters(), strict=True)
    assert all(torch.allclose(8.0 * one.grad, two.grad) for one, two in pairs if one.grad is not None)


def test_accumulated_batches_are_one_joint_batch() -> None:
    for section in ({"name": "imtl"}, {"name": "pcgrad", "losses": "uncertainty"}):
        expected = Small().double(), build(section)
        backward(*expected, [torch.cat([inputs(0), inputs(1)])])
        actual, _, balancer = update(section)
        torch.testing.assert_close(actual, take(expected[0]), rtol=1e-9, atol=1e-12)
        pairs = zip(balancer.parameters(), expected[1].parameters(), strict=True)
        assert all(torch.allclose(one.grad, two.grad) for one, two in pairs if one.grad is not None)


def test_a_task_without_labels_has_no_say_and_its_scale_stays() -> None:
    _, report, balancer = update({"name": "imtl"}, absent=1)
    assert float(report.weights[NAMES[1]]) == 0.0
    gradients = {name: float(item.grad) for name, item in balancer.named_parameters() if item.grad is not None}
    assert [name for name, slope in gradients.items() if slope == 0.0] == [f"scalarizer.log_scale.{NAMES[1]}"]
    assert len(gradients) == len(NAMES)


def test_what_more_a_scalarizer_needs_and_is_told_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugalmtl.balancing.scalarization.uniform.Uniform", Halving)
    balancer = BALANCERS.build({"name": "pcgrad", "losses": "uniform"}, tasks())
    inner = balancer.scalarizer
    assert isinstance(inner, Halving)
    balancer.attach(build_model())
    balancer.enter_epoch(1, 4)
    balancer.end_epoch({"depth": 2.0}, None)
    assert inner.calls == ["attach", "enter 1 of 4", "end {'depth': 2.0}"]
    assert balancer.groups() == (ParameterGroup("scalarizer.fac*", lr_factor=3.0),)


def test_scores_are_asked_for_where_the_scalarizer_reads_them() -> None:
    balancer = BALANCERS.build({"name": "pcgrad", "losses": "dtp"}, tasks())
    assert (balancer.needs_scores, build({"name": "pcgrad"}).needs_scores) == (True, False)
    with pytest.raises(UserError, match="reads the scores of every epoch"):
        check_trainable(build_model(), balancer, TrainSettings(evaluate_every=0))
    balancer.end_epoch({}, {task.name: {task.primary: 0.25} for task in tasks()})
    assert balancer.scalarizer.kpi.all()


def test_what_stacks_follows_from_what_a_class_does_in_a_step() -> None:
    assert stacks(Halving)
    assert not any(stacks(kind) for kind in (Judging, Choosing, Aggregator, BALANCERS.get("grad_norm"), len))


@pytest.mark.parametrize("name", ["famo", "auto_lambda", "grad_norm", "task_sampling"])
def test_balancers_that_do_more_than_weigh_losses_are_refused(name: str) -> None:
    assert name not in SCALARIZERS.names()
    message = f"^{name} cannot weigh the losses of an aggregator, for it .*: take one of dtp, dwa, fixed, [^\n]*$"
    with pytest.raises(UserError, match=message):
        BALANCERS.build({"name": "pcgrad", "losses": name}, tasks())


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ("mgda", "scalarizer 'mgda'"),
        ({"name": "imtl_l", "inits": 1.0}, "inits"),
        ({"init": 1.0}, "name"),
        (3, "losses must be a text, a mapping"),
    ],
)
def test_a_wrong_section_is_refused_before_anything_is_built(losses: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        check(Experiment(balancer={"name": "cagrad", "losses": losses}))
    assert "\n" not in str(error.value)


def test_the_guide_names_all_that_stack() -> None:
    (listed,) = re.findall(
        r"^A scalarizer stacks if [^:]*: (.*?)\. The others", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert re.findall(r"`(\w+)`", listed) == SCALARIZERS.names()


def test_scalarizers_have_no_losses_of_others() -> None:
    with pytest.raises(UserError, match="losses"):
        BALANCERS.build({"name": "uncertainty", "losses": "imtl_l"}, tasks())
