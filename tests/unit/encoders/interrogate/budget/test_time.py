"""Prices in measured time, widths of the machine, and what is kept of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.channels.times import LayerTimes, Machine, SizedLayer, Timing, layers_of
from frugalmtl.core.checks import UserError
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate.budget.time import FLOOR, cost_in_time, saved_time
from frugalmtl.encoders.interrogate.encoder import InterroGate
from tests.support.gated import SIDE, budgeted, gated, measured, toy_model

CPU = Machine("cpu", "a processor", "AVX2", 4)
GPU = Machine("cuda", "a GPU", "9.0", 4, "bfloat16")
CONSTANT = 1e-6
"""Milliseconds of layers that take hardly any time, whatever their width."""
Time = Callable[[SizedLayer, int], float]


def table(encoder: InterroGate, time: Time, machine: Machine = CPU) -> LayerTimes:
    """Times by a formula of layer and width."""
    timings = []
    for layer in dict.fromkeys(layers_of(encoder.graph, encoder.shared, SIDE).values()):
        widths = sorted({max(1, layer.outputs // 4), max(1, layer.outputs // 2), layer.outputs})
        timings.append(Timing(layer, widths, [time(layer, width) for width in widths]))
    return LayerTimes(machine, 1, timings)


def by_macs(layer: SizedLayer, width: int) -> float:
    """In proportion to multiply-adds."""
    positions = layer.size[0] * layer.size[1] / (layer.stride[0] * layer.stride[1])
    return float(positions * layer.kernel[0] * layer.kernel[1] * layer.inputs * width) * 1e-6


def flat_at_last(layer: SizedLayer, width: int) -> float:
    """The same, but the widest layers take a constant time."""
    return CONSTANT if layer.outputs == 32 else by_macs(layer, width)


def planned(file: Path, time: Time, budget: str = "0.6x", **settings: Any) -> InterroGate:
    """An encoder whose prices come from a table."""
    encoder = budgeted(budget, price="time", layer_times=str(file), **settings)
    file.write_text(table(encoder, time).to_json(), encoding="utf-8")
    encoder.plan(ModelContext(SIDE, 0.0))
    return encoder


def widest(encoder: InterroGate) -> torch.Tensor:
    """Which gates decide over channels of the widest layers, ``[U]``."""
    widths = torch.tensor([width for width in encoder.gates.places.widths for _ in range(width)])
    result = torch.zeros(encoder.gates.places.gates, dtype=torch.bool)
    result[torch.tensor(encoder.gates.places.columns)[widths == 32]] = True
    return result


def test_times_in_proportion_to_operations_leave_prices_as_they_are(tmp_path: Path) -> None:
    encoder = planned(tmp_path / "times.json", by_macs)
    plain = budgeted("0.6x")
    assert encoder.gates.cost == pytest.approx(plain.gates.cost, rel=1e-4)
    assert encoder.gates.cost.mean() == pytest.approx(1.0)


def test_layers_that_save_no_time_keep_the_least_price(tmp_path: Path) -> None:
    encoder, plain = planned(tmp_path / "times.json", flat_at_last), budgeted("0.6x")
    macs, wide = plain.gates.cost, widest(encoder)
    assert wide.any()
    assert not wide.all()
    time = torch.where(wide, torch.zeros(()), macs)  # their square over the multiply-adds is the same
    expected = torch.maximum(time / time.mean(), FLOOR * macs / macs.mean())
    assert encoder.gates.cost == pytest.approx(expected / expected.mean(), rel=1e-3)


def test_gates_that_save_no_time_close_last(tmp_path: Path) -> None:
    encoder = planned(tmp_path / "times.json", flat_at_last)
    wide, gates = widest(encoder), encoder.gates
    with torch.no_grad():
        gates.alpha.fill_(1.0)
    closed: dict[bool, float] = {}
    for price in np.geomspace(1e-3, 1e3, 400):
        gates.price.fill_(float(price))
        open_gates = (gates.scores() > 0).all(0)
        for kind, mask in ((True, wide), (False, ~wide)):
            if not open_gates[mask].any():
                closed.setdefault(kind, float(price))
    assert closed[True] > closed[False]


def test_cost_by_hand() -> None:
    saved, macs = torch.tensor([2.0, 2.0, 4.0, 0.0, 0.0]), torch.tensor([100.0, 200.0, 400.0, 300.0, 0.0])
    tilted = torch.tensor([4 / 100, 4 / 200, 16 / 400, 0.0, 0.0])
    least = FLOOR * macs / 200
    expected = torch.maximum(tilted / 0.02, least)
    assert cost_in_time(saved, macs) == pytest.approx(expected / expected.mean())
    assert cost_in_time(torch.zeros(2), torch.tensor([1.0, 3.0])) == pytest.approx(torch.tensor([0.5, 1.5]))


def test_gates_that_come_whole_save_their_share_of_the_layer(tmp_path: Path) -> None:
    def half_fixed(layer: SizedLayer, width: int) -> float:
        return by_macs(layer, layer.outputs) + by_macs(layer, width)

    encoder = planned(tmp_path / "times.json", half_fixed)
    layers, graph = layers_of(encoder.graph, encoder.shared, SIDE), encoder.graph
    times, places = table(encoder, half_fixed), encoder.gates.places
    none, every = (torch.full((places.gates,), value) for value in (False, True))
    slopes, shares = (saved_time(graph, places, times, layers, whole) for whole in (none, every))
    assert shares == pytest.approx(2 * slopes), "with all of its channels a layer takes twice what they add"


@pytest.mark.parametrize("budget", ["0.55x", "0.7x", "0.85x"])
@pytest.mark.parametrize("time", [by_macs, flat_at_last], ids=lambda time: time.__name__)
def test_the_budget_of_operations_is_met_all_the_same(time: Time, budget: str, tmp_path: Path) -> None:
    model = toy_model(budget=budget, frozen_share=0.25, pretrain_share=0.0, price="time", layer_times="FILE")
    encoder = model.encoder
    assert isinstance(encoder, InterroGate)
    file = tmp_path / "times.json"
    file.write_text(table(encoder, time).to_json(), encoding="utf-8")
    object.__setattr__(encoder.saving, "layer_times", str(file))
    with torch.no_grad():
        encoder.gates.alpha.add_(0.05 * torch.randn(encoder.gates.alpha.shape)).clamp_(min=0.001)
    plan_encoder(model, SIDE)
    assert encoder.budget_control is not None
    encoder.enter_stage("joint")
    encoder.enter_epoch(3, 4)
    wanted = float(budget.removesuffix("x")) * encoder.budget_control.full
    assert measured(model) == pytest.approx(wanted, rel=0.01)
    steered = encoder.gates.price
    assert float(steered) == 0.0


def test_layers_that_save_no_time_are_whole(tmp_path: Path) -> None:
    encoder = planned(tmp_path / "times.json", flat_at_last)
    control = encoder.budget_control
    assert control is not None
    wide = widest(encoder)
    for group in control.groups:
        assert group.multiple == (group.width if wide[group.start] else 1)
        assert group.least == 1, "as far as the budget lets it"


def test_widths_of_the_machine_that_trains() -> None:
    encoder = budgeted("0.6x", multiple="auto")
    encoder.plan(ModelContext(SIDE, 0.0, machine=CPU))
    control = encoder.budget_control
    assert control is not None
    assert all(group.multiple in (8, group.width) for group in control.groups)
    with pytest.raises(UserError, match="multiple: auto needs a machine"):
        budgeted("0.6x", multiple="auto").plan(ModelContext(SIDE, 0.0))


def test_widths_of_the_machine_of_the_table(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    encoder = budgeted("0.6x", multiple="auto", layer_times=str(file))
    file.write_text(table(encoder, by_macs, GPU).to_json(), encoding="utf-8")
    encoder.plan(ModelContext(SIDE, 0.0, machine=CPU))
    assert encoder.budget_control is not None
    assert all(group.multiple == group.width for group in encoder.budget_control.groups), "none has 64 channels"


def test_prices_and_widths_go_with_the_weights(tmp_path: Path) -> None:
    trained = planned(tmp_path / "times.json", flat_at_last, multiple="auto")
    elsewhere = gated("cifar_resnet", 2, budget="0.6x", frozen_share=0.25, multiple="auto", price="time")
    elsewhere.load_state_dict(trained.state_dict())
    assert trained.budget_control is not None
    assert elsewhere.budget_control is not None
    assert elsewhere.budget_control.groups == trained.budget_control.groups
    assert elsewhere.gates.cost.equal(trained.gates.cost)


def test_weights_of_runs_without_either_are_as_they_were() -> None:
    assert "multiples" not in gated("cifar_resnet", 2, budget="0.6x", frozen_share=0.25, multiple=16).state_dict()


def test_times_are_measured_when_a_training_is_planned() -> None:
    encoder, asked = budgeted("0.6x", price="time"), []

    def times(layers: Any) -> LayerTimes:
        asked.append(tuple(layers))
        return table(encoder, by_macs)

    encoder.plan(ModelContext(SIDE, 0.0, machine=CPU, layer_times=times))
    assert len(asked) == 1
    assert len(set(asked[0])) == len(asked[0])
    with pytest.raises(UserError, match="needs times of layers, which one training process alone measures"):
        encoder.plan(ModelContext(SIDE, 0.0, machine=CPU))


def test_tables_of_other_images_are_refused(tmp_path: Path) -> None:
    encoder = planned(tmp_path / "times.json", by_macs)
    with pytest.raises(UserError, match="lacks convolution"):
        encoder.plan(ModelContext((32, 32), 0.0))
