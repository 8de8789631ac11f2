"""Batches of different tasks, under every balancer at every level."""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage
from frugalmtl.core.types import Batch
from frugalmtl.decoders import DECODERS
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.model import MultiTaskModel
from tests.support.steps import setup_of
from tests.support.tiny_training import ENCODERS, build_batch, tasks

NAMES = tuple(task.name for task in tasks())
PLACES = {"grad_norm": ("norms_at", ("last_layer", "parameters"))}
SECTIONS: list[dict[str, Any]] = [
    {"name": name, **({option: place} if place else {})}
    for name in BALANCERS.names()
    for option, places in [PLACES.get(name, ("gradients_at", getattr(BALANCERS.get(name), "levels", (None,))))]
    for place in places
]
STACKS: list[dict[str, Any]] = [
    {"name": "pcgrad", "losses": "uncertainty"},
    {"name": "mgda", "losses": "imtl_l"},
    {"name": "grad_drop", "losses": "rlw"},
    {"name": "nash_mtl", "losses": "geometric_mean", "update_every": 2},
    {"name": "cagrad", "losses": "dwa"},
]
EVERY = [*SECTIONS, *STACKS]
KINDS = ("shared", "apart", "stitched")
TURNS: list[tuple[str, ...] | None] = [*itertools.combinations(NAMES, 1), *itertools.combinations(NAMES, 2), None, ()]
"""Single tasks, pairs, all, none."""


def title(section: dict[str, Any]) -> str:
    return "-".join(map(str, section.values()))


def model_of(kind: str) -> MultiTaskModel:
    """A small encoder whose tasks share a trunk, nothing, or mixed features; a head per task; no batch statistics."""
    torch.manual_seed(7)
    encoder = ENCODERS[kind](NAMES, norm=False, dropout=0.0)
    decoder = DECODERS.build({"name": "independent", "head": "linear"}, encoder.channels, encoder.strides, tasks())
    model = MultiTaskModel(encoder, decoder, tasks())
    encoder.enter_stage("together")
    return model.double()


def for_tasks(batch: Batch, names: tuple[str, ...] | None) -> Batch:
    """The batch as input of some tasks, without any entry for the others."""
    kept = NAMES if names is None else names
    targets = {name: batch.targets[name] for name in kept}
    valid = {name: batch.valid[name] for name in kept}
    return Batch(batch.image.double(), targets, valid, batch.names, names)


def begun(model: MultiTaskModel, section: dict[str, Any]) -> StepSetup:
    torch.manual_seed(1)
    setup = setup_of(model, section)
    setup.balancer.double()
    setup.balancer.attach(model)
    setup.balancer.double().enter_epoch(0, 4)
    setup.optimizer = torch.optim.SGD([*model.parameters(), *setup.balancer.parameters()], lr=0.05, momentum=0.9)
    setup.scaled_optimizer = setup.optimizer
    torch.manual_seed(2)
    return setup


def refused(setup: StepSetup, kind: str) -> bool:
    """Whether the method cannot balance the encoder: this one mixes features in front of the cut only."""
    place = getattr(setup.balancer, "gradients_at", getattr(setup.balancer, "norms_at", None))
    return kind == "stitched" and place in ("representation", "last_layer")


def check_refusal(setup: StepSetup) -> None:
    """A batch of one task is enough to see that the tasks share parameters, but no representation."""
    with pytest.raises(UserError, match=r"share parameters but no representation|have no last layer in common"):
        take_step(setup, [for_tasks(build_batch(1), NAMES[:1])])


def heads(model: MultiTaskModel) -> dict[str, list[Tensor]]:
    modules = model.decoder.heads
    return {name: [p.detach().clone() for p in modules[name].parameters()] for name in NAMES}  # type: ignore[index]


def gradients(model: MultiTaskModel) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def own_state(setup: StepSetup, task: str) -> dict[str, Tensor]:
    """What a balancer remembers of one task."""
    index = NAMES.index(task)
    state = {name: value for name, value in setup.balancer.state_dict().items() if not name.startswith("discrim")}
    return {
        name: (value[index] if value.shape == (len(NAMES),) else value).clone()
        for name, value in state.items()
        if value.shape == (len(NAMES),) or name.rpartition(".")[2] == task
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("section", EVERY, ids=title)
def test_batches_of_different_tasks(section: dict[str, Any], kind: str) -> None:
    model = model_of(kind)
    setup = begun(model, section)
    if refused(setup, kind):
        check_refusal(setup)
        return
    chooses = section["name"] == "task_sampling"
    for number, (one, other) in enumerate(itertools.product(TURNS, TURNS[::2])):
        batches = [for_tasks(build_batch(2 * number), one), for_tasks(build_batch(2 * number + 1), other)]
        wanted = {name for names in (one, other) for name in (NAMES if names is None else names)}
        before, remembered = heads(model), {name: own_state(setup, name) for name in NAMES}
        setup.optimizer.state.clear()
        report = take_step(setup, batches, validation=[for_tasks(build_batch(0), None)] * 2)
        present = {part.split("@")[0] for part in report.parts}
        assert present <= wanted
        assert chooses or present == wanted
        assert set(report.balance.weights) <= present
        assert {*report.balance.norms} <= present
        for name, parameter in model.named_parameters():
            assert parameter.isfinite().all(), name
        for name in set(NAMES) - present:
            assert all(map(torch.equal, before[name], heads(model)[name])), f"the head of {name} moved"
            now = own_state(setup, name)
            assert [key for key, value in remembered[name].items() if not torch.equal(value, now[key])] == []
        if not present:
            assert all(gradient is None for gradient in gradients(model).values())
    assert all(value.isfinite().all() for value in setup.balancer.state_dict().values())


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[1:]], ids="+".join)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("section", EVERY, ids=title)
def test_a_task_that_is_not_wanted_counts_as_one_without_labels(
    section: dict[str, Any], kind: str, names: tuple[str, ...]
) -> None:
    """The gradients of what tasks share are the same, also with what the method remembers of steps for all."""
    if section["name"] == "task_sampling":
        pytest.skip("its draws decide what is wanted")
    first, batch = for_tasks(build_batch(1), None), build_batch(2)
    without = for_tasks(batch, None)
    for name in set(NAMES) - {*names}:
        without.valid[name] = torch.zeros_like(without.valid[name])
    results = []
    for later in (without, for_tasks(batch, names)):
        model = model_of(kind)
        setup = begun(model, section)
        if refused(setup, kind):
            check_refusal(setup)
            return
        for step in (first, later):
            setup.optimizer.state.clear()
            take_step(setup, [deepcopy(step)], validation=[first])
        results.append(gradients(model))
    unlabelled, absent = results
    for name, expected in unlabelled.items():
        actual = absent[name]
        if actual is None:
            assert expected is None or not expected.any(), name
        else:
            torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "section", [{"name": "uniform"}, {"name": "fixed"}, {"name": "dwa"}, {"name": "dtp"}], ids=title
)
def test_the_gradient_of_a_linear_rule_is_that_of_the_tasks_that_are_there(section: dict[str, Any], kind: str) -> None:
    model = model_of(kind)
    setup = begun(model, section)
    batches = [for_tasks(build_batch(1), NAMES[:2]), for_tasks(build_batch(2), NAMES[2:])]
    take_step(setup, batches, update=False)
    actual = {name: gradient for name, gradient in gradients(model).items() if gradient is not None}
    plain = model_of(kind)
    total = torch.zeros((), dtype=torch.float64)
    for batch in batches:
        assert batch.tasks is not None
        losses = setup.criterion(plain(batch.image), batch, batch.tasks).by_task
        total = total + sum(losses[name] * weight_of(setup, name) for name in batch.tasks) / 2
    total.backward()
    for name, expected in gradients(plain).items():
        if expected is not None:
            torch.testing.assert_close(actual[name], expected, msg=name)


def weight_of(setup: StepSetup, name: str) -> float:
    weights = setup.balancer.weigh(torch.ones(len(NAMES), dtype=torch.float64))  # type: ignore[operator]
    return float(weights[NAMES.index(name)])


@pytest.mark.parametrize("level", ["representation", "parameters", "parameters_batched"])
def test_what_tasks_share_is_a_fact_of_the_encoder(level: str) -> None:
    """An epoch that begins with one task, and goes on with all, is as one that is for all from the beginning."""
    results = []
    for warm in ([], [NAMES[:1], NAMES[1:2]]):
        model = model_of("shared")
        setup = begun(model, {"name": "mgda", "gradients_at": level})
        for names in warm:
            take_step(setup, [for_tasks(build_batch(5), names)], update=False)
        take_step(setup, [for_tasks(build_batch(1), None)], update=False)
        results.append(gradients(model))
    for name, gradient in results[0].items():
        assert gradient is not None
        torch.testing.assert_close(results[1][name], gradient, msg=name)


@pytest.mark.parametrize("section", [section for section in EVERY if "losses" not in section], ids=title)
def test_one_task_for_a_whole_epoch(section: dict[str, Any]) -> None:
    model = model_of("shared")
    setup = begun(model, section)
    before = heads(model)
    for epoch in range(3):
        setup.balancer.enter_epoch(epoch, 3)
        for number in range(2):
            batch = for_tasks(build_batch(number), NAMES[1:2])
            take_step(setup, [batch], validation=[for_tasks(build_batch(5), NAMES[1:2])])
        setup.balancer.end_epoch({"depth": 1.0 / (1 + epoch)}, {"depth": {"rmse": 1.0 / (1 + epoch)}})
    assert all(
        value.isfinite().all() for value in [*model.state_dict().values(), *setup.balancer.state_dict().values()]
    )
    moved = [name for name in NAMES if not all(map(torch.equal, before[name], heads(model)[name]))]
    assert moved == ["depth"] or (section["name"] == "task_sampling" and moved == [])
    take_step(setup, [for_tasks(build_batch(1), None)], validation=[for_tasks(build_batch(5), None)])
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("section", EVERY, ids=title)
def test_a_penalty_alone_is_a_step(section: dict[str, Any]) -> None:
    """Where nothing is wanted but a penalty counts, its gradient is all there is."""
    model = model_of("stitched")
    setup = begun(model, section)
    if refused(setup, "stitched"):
        return
    setup.stage = Stage(penalties={"size": 0.5})
    take_step(setup, [for_tasks(build_batch(1), ())], validation=[for_tasks(build_batch(5), None)], update=False)
    reached = {name: gradient for name, gradient in gradients(model).items() if gradient is not None}
    units = reached.pop("encoder.units")
    torch.testing.assert_close(units, 0.5 * 2 * model.encoder.units.detach() / 9)
    assert not any(gradient.any() for gradient in reached.values())
