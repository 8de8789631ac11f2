"""The check of a step's numbers, before its update or while the next step is under way."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.engine.optimizers import OPTIMIZERS, OptimizerSet
from frugalmtl.engine.step import FiniteCheck, require_finite, setup
from tests.support.tiny_training import SpoiledLoader, build_balancer, run

FUSED: list[dict[str, Any]] = [{"name": "adam"}, {"name": "adamw"}, {"name": "sgd", "momentum": 0.9}]


def optimizer_of(section: Any, parameter: Tensor) -> OptimizerSet:
    return OptimizerSet([OPTIMIZERS.build(section, [{"params": [parameter]}])])


def step(optimizer: OptimizerSet, check: FiniteCheck, parameter: Tensor, loss: float, number: int = 0) -> None:
    parameter.grad = torch.full_like(parameter, loss)
    with check.guarded({"the loss 'depth'": torch.tensor(loss)}, number, ["a.png"]):
        optimizer.step()


def state_of(optimizer: OptimizerSet, parameter: Tensor) -> list[Tensor]:
    state = optimizer.members[0].state[parameter]
    return [parameter.detach().clone(), *(value.clone() for value in state.values() if isinstance(value, Tensor))]


@pytest.mark.parametrize("section", FUSED, ids=lambda section: str(section["name"]))
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_late_check_leaves_weights_and_momenta_alone(section: Any, bad: float) -> None:
    parameter = torch.ones(5, requires_grad=True)
    optimizer = optimizer_of(section, parameter)
    check = FiniteCheck(optimizer, late=True)
    step(optimizer, check, parameter, 0.5)
    before = state_of(optimizer, parameter)
    step(optimizer, check, parameter, bad, number=1)
    for value, expected in zip(state_of(optimizer, parameter), before, strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    with pytest.raises(UserError, match=rf"stopped at step 1: the loss 'depth' is {bad} \(samples: a\.png\)"):
        check.settle()
    check.settle()  # said once


@pytest.mark.parametrize("section", FUSED, ids=lambda section: str(section["name"]))
def test_finite_steps_are_the_same_late_or_not(section: Any) -> None:
    results = []
    for late in (False, True):
        parameter = torch.ones(5, requires_grad=True)
        optimizer = optimizer_of(section, parameter)
        check = FiniteCheck(optimizer, late=late)
        for number, loss in enumerate((0.5, -1.0, 2.0)):
            step(optimizer, check, parameter, loss, number)
        check.settle()
        results.append(state_of(optimizer, parameter))
    for value, expected in zip(*results, strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=0)


def test_the_next_step_is_not_taken_before_the_last_one_is_judged() -> None:
    parameter = torch.ones(5, requires_grad=True)
    optimizer = optimizer_of("adam", parameter)
    check = FiniteCheck(optimizer, late=True)
    step(optimizer, check, parameter, math.nan)
    with pytest.raises(UserError, match="stopped at step 0"):
        step(optimizer, check, parameter, 0.5, number=1)
    assert torch.equal(parameter, torch.ones(5))


@pytest.mark.parametrize("section", [{"name": "rmsprop"}, {"name": "adam", "fused": False}])
def test_an_optimiser_that_cannot_skip_is_waited_for(section: Any) -> None:
    parameter = torch.ones(5, requires_grad=True)
    optimizer = optimizer_of(section, parameter)
    with pytest.raises(UserError, match="stopped at step 0"):
        step(optimizer, FiniteCheck(optimizer, late=True), parameter, math.nan)
    assert torch.equal(parameter, torch.ones(5))


@pytest.mark.parametrize("every", [1, 100])
def test_a_host_that_runs_ahead_writes_nothing_of_a_spoiled_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """As on a GPU: with a checkpoint and a record due at once, or only at the end of the epoch."""
    monkeypatch.setattr(setup, "FiniteCheck", lambda optimizer, **_: FiniteCheck(optimizer, late=True))
    message = r"stopped at step 7: the loss 'depth' is nan.*\(samples: .*spoiled\.png\)"
    with pytest.raises(UserError, match=message):
        run(tmp_path, "shared", "uncertainty", loader=SpoiledLoader(), checkpoint_every=every, log_every=every)
    pointer = tmp_path / "checkpoints/last"
    assert (pointer.read_text() if every == 1 else pointer.exists()) == ("step-00000007\n" if every == 1 else False)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == (7 if every == 1 else 5)


def test_the_host_runs_ahead_only_where_nothing_follows_a_step() -> None:
    assert not build_balancer("uncertainty").follows_steps
    assert not build_balancer("pcgrad").follows_steps
    assert build_balancer("famo").follows_steps
    assert build_balancer("auto_lambda").follows_steps


def test_the_guard_lists_what_is_wrong_and_shortens_long_batches() -> None:
    values = {"a": torch.tensor(1.0), "b": torch.tensor(float("inf")), "c": torch.tensor(float("nan"))}
    with pytest.raises(UserError, match=r"b is inf; c is nan \(samples: 0, 1, 2, 3, 4, 5, 6, 7 and 3 more\)"):
        require_finite(values, 0, [str(number) for number in range(11)])
    require_finite({"a": torch.tensor(1.0)}, 0, [])
    require_finite({}, 0, [])
