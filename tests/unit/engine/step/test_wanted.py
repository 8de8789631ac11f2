"""Wanted tasks of a step: what is run, counted and reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import interpolate
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.core.recipe import Turn
from frugalmtl.core.types import Batch
from frugalmtl.data.loading.loader import collate
from frugalmtl.data.transforms import Example
from frugalmtl.engine.affinity import affinities
from frugalmtl.engine.step import take_step
from frugalmtl.engine.step.wanted import wanted_tasks
from frugalmtl.model import MultiTaskModel
from tests.support.balancing.task_gradients import real
from tests.support.steps import setup_of
from tests.support.tiny_training import build_batch, build_model, tasks

NAMES = tuple(task.name for task in tasks())


def batch_for(seed: int, names: tuple[str, ...] | None) -> Batch:
    return replace(build_batch(seed), tasks=names)


def test_tasks_are_wanted_where_every_source_names_them() -> None:
    assert wanted_tasks(NAMES, None, None) is None
    assert wanted_tasks(NAMES, NAMES[::-1]) is None
    assert wanted_tasks(NAMES, NAMES[1:], None, {NAMES[2], NAMES[0]}) == (NAMES[2],)
    assert wanted_tasks(NAMES, NAMES[:1], NAMES[1:]) == ()


def test_a_batch_keeps_its_tasks_on_the_way() -> None:
    one = Example(torch.zeros(3, 2, 2), {}, {}, "one", ("depth",))
    batch = collate([one, replace(one, name="two")])
    assert (batch.tasks, batch.to("cpu").tasks, build_batch(0).to("cpu").tasks) == (("depth",), ("depth",), None)
    with pytest.raises(ValueError, match=r"'one' \(tasks: depth\) and 'two' \(tasks: all\) cannot share a batch"):
        collate([one, replace(one, name="two", tasks=None)])


@pytest.mark.parametrize("balancer", ["uniform", "pcgrad"])
def test_losses_are_means_over_the_batches_that_they_were_computed_in(balancer: str) -> None:
    model = build_model(norm=False, dropout=0.0)
    setup = setup_of(model, balancer)
    batches = [batch_for(1, NAMES[:2]), batch_for(2, NAMES[1:2]), batch_for(3, ())]
    by_batch = [setup.losses(batch) for batch in batches]
    report = take_step(setup, batches, update=False)
    assert set(report.parts) == {"segmentation", "segmentation@initial", "depth"}
    assert set(report.balance.weights) == {"segmentation", "depth"}
    total = report.parts["segmentation"] + report.parts["segmentation@initial"]
    torch.testing.assert_close(total, by_batch[0]["segmentation"].detach())
    both = torch.stack([losses["depth"].detach() for losses in by_batch[:2]]).mean()
    torch.testing.assert_close(report.parts["depth"], both)
    assert [float(losses["edges"]) for losses in by_batch] == [0.0] * 3
    assert not by_batch[0]["edges"].requires_grad


def test_a_step_without_any_task_leaves_everything_as_it_is() -> None:
    model = build_model()
    setup = setup_of(model, "famo")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = take_step(setup, [batch_for(1, ())])
    assert (report.parts, report.balance.weights, report.gradient_norm) == ({}, {}, None)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_turn_may_be_for_some_tasks() -> None:
    setup = setup_of(build_model())
    setup.turn = Turn("one", tasks=NAMES[1:])
    assert set(take_step(setup, [batch_for(1, NAMES[:2])]).parts) == {"depth"}
    assert take_step(setup, [batch_for(1, NAMES[:1])]).parts == {}


def test_affinity_is_that_of_the_tasks_that_are_there() -> None:
    setup = setup_of(build_model(norm=False, dropout=0.0))
    pairs = affinities(setup.model, setup.losses, [batch_for(1, NAMES[:2])])
    assert set(pairs) == {f"{one}>{other}" for one in NAMES[:2] for other in NAMES[:2]}
    assert set(pairs) < set(affinities(setup.model, setup.losses, [batch_for(1, None)]))
    assert affinities(setup.model, setup.losses, [batch_for(1, NAMES[:1])]) == {}


def macs_of_a_step(encoder: str, balancer: Any) -> float:
    model: MultiTaskModel = real(encoder).train()
    targets = {
        name: interpolate(value.float().reshape(2, 1, 6, 6), 32) for name, value in build_batch(1).targets.items()
    }
    targets["segmentation"] = targets["segmentation"][:, 0].long()
    valid = {name: torch.ones(2, 32, 32, dtype=torch.bool) for name in targets}
    with FlopCounterMode(display=False) as counter:
        take_step(setup_of(model, balancer), [Batch(torch.rand(2, 3, 32, 32), targets, valid)])
    return counter.get_total_flops() / 2


def test_task_sampling_runs_the_network_of_the_task_drawn_alone() -> None:
    drawn = {"name": "task_sampling", "by": "given", "probabilities": {"segmentation": 0.0, "depth": 1.0, "edges": 0.0}}
    assert macs_of_a_step("single_task", drawn) == pytest.approx(macs_of_a_step("single_task", "uniform") / 3, rel=0.01)
    assert macs_of_a_step("single_task", drawn) == macs_of_a_step("hard_sharing", drawn), "one network and one head"
    assert macs_of_a_step("hard_sharing", drawn) < macs_of_a_step("hard_sharing", "uniform")
