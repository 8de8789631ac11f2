"""Optimisers that update all parameters in one kernel."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.engine.optimizers import OPTIMIZERS, OptimizerSet

NAMES = ["adam", "adamw", "sgd"]


def trained(section: dict[str, Any], steps: int, state: dict[str, Any] | None = None) -> tuple[OptimizerSet, Tensor]:
    generator = torch.Generator().manual_seed(0)
    parameter = torch.randn(100, generator=generator).requires_grad_()
    optimizer = OptimizerSet([OPTIMIZERS.build(section, [{"params": [parameter]}])])
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))  # torch takes over the tensors themselves
    for _ in range(steps):
        parameter.grad = torch.randn(100, generator=generator)
        optimizer.step()
    return optimizer, parameter


@pytest.mark.parametrize("name", NAMES)
def test_they_are_the_default_and_agree_with_the_others(name: str) -> None:
    fused, one = trained({"name": name}, 5)
    plain, other = trained({"name": name, "fused": False}, 5)
    assert [group["fused"] for group in (*fused.param_groups, *plain.param_groups)] == [True, False]
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert not torch.equal(one, trained({"name": name}, 0)[1])


@pytest.mark.parametrize("options", [{"fused": False}, {"foreach": True}])
def test_what_is_asked_for_is_taken(options: dict[str, bool]) -> None:
    (group,) = OPTIMIZERS.build({"name": "adam", **options}, [{"params": [torch.zeros(1)]}]).param_groups
    assert {key: group[key] for key in options} == options
    assert not group["fused"]


def test_parameters_without_such_a_kernel_are_left_to_torch() -> None:
    (group,) = OPTIMIZERS.build("adam", [{"params": [torch.zeros(1, device="meta")]}]).param_groups
    assert group["fused"] is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (None, True)])
def test_states_are_taken_over_by_the_kernels_of_this_device(name: str, before: bool | None, after: bool) -> None:
    """A run of a version, or a device, that had other kernels goes on with the same momenta."""
    saved, _ = trained({"name": name, "fused": bool(before)}, 3)
    state = saved.state_dict()
    for group in state["param_groups"]:
        group["fused"] = before
    goes_on, one = trained({"name": name, "fused": after}, 3, state)
    assert [group["fused"] for group in goes_on.param_groups] == [after]
    _, other = trained({"name": name, "fused": bool(before)}, 3, state)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("saved_between", [False, True])
def test_parameters_that_get_their_first_gradient_late_move_as_in_a_loop(saved_between: bool) -> None:
    """A head whose task has no label in the first batches."""
    results = []
    for fused in (None, False):
        parameters = [torch.ones(3, requires_grad=True) for _ in range(2)]

        def build(fused: bool | None = fused, parameters: list[Tensor] = parameters) -> OptimizerSet:
            section = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "fused": fused}
            return OptimizerSet([OPTIMIZERS.build(section, [{"params": parameters}])])

        optimizer = build()
        for step in range(4):
            parameters[0].grad = torch.full((3,), 1.0 + step)
            parameters[1].grad = torch.full((3,), 2.0) if step > 1 else None
            optimizer.step()
            if saved_between and step == 1:
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = build()
                optimizer.load_state_dict(state)
        results.append(parameters)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_sgd_with_dampening_is_left_to_torch() -> None:
    (group,) = OPTIMIZERS.build({"name": "sgd", "dampening": 0.1}, [{"params": [torch.zeros(1)]}]).param_groups
    assert group["fused"] is None
