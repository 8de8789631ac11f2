"""Several optimisers in one stage: the same as a loop by hand, and one to the loss scaler and to clipping."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.engine.optimizers import OptimizerSet
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.losses import Criterion
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import TinyLoader, build_balancer, build_batch, build_model, tasks

EPOCHS, BATCHES, WARMUP, CLIP = 2, 5, 3, 1.0
GATES = ParameterGroup(
    "encoder.units", optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}, scheduled=False
)


def by_hand(model: MultiTaskModel) -> list[float]:
    """Adam on a cosine after a warm-up, plain SGD on the units; the norm of every step's gradient."""
    units = model.encoder.units
    rest = [parameter for parameter in model.parameters() if parameter is not units]
    adam = torch.optim.Adam(rest, lr=0.01, weight_decay=1e-3)
    criterion, loader, norms = Criterion(tasks()), TinyLoader(BATCHES), []
    seed_everything(derive_seed(0, "train", 0))
    model.enter_stage("together")
    model.train()
    for epoch in range(EPOCHS):
        model.enter_epoch(epoch, EPOCHS)
        with torch.random.fork_rng(devices=[]):
            batches = list(loader.epoch(epoch))
        for index, batch in enumerate(batches):
            step = epoch * BATCHES + index
            factor = (1 + math.cos(math.pi * step / (EPOCHS * BATCHES))) / 2 * min(1.0, (step + 1) / WARMUP)
            adam.param_groups[0]["lr"] = 0.01 * factor
            model.zero_grad()
            sum(criterion(model(batch.image), batch).by_task.values()).backward()  # type: ignore[union-attr]
            norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
            norms.append(float(norm))
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad *= min(1.0, CLIP / (float(norm) + 1e-6))
            adam.step()
            with torch.no_grad():
                units -= 0.1 * units.grad
    return norms


def test_gates_at_a_constant_rate_are_trained_as_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, actual = build_model("stitched").double(), build_model("stitched").double()
    before = actual.encoder.units.detach().clone()
    monkeypatch.setattr(actual.encoder, "recipe", lambda: (Stage("together", groups=(GATES,)),))
    monkeypatch.setattr(TinyLoader, "epoch", in_double(TinyLoader.epoch))
    settings = TrainSettings(
        epochs=EPOCHS,
        optimizer={"name": "adam", "lr": 0.01, "weight_decay": 1e-3},
        schedule={"name": "cosine"},
        warmup_steps=WARMUP,
        clip_norm=CLIP,
        accelerator="cpu",
        channels_last=False,
        log_every=1,
    )
    balancer = build_balancer({"name": "fixed", "weights": "uniform"})
    train(TrainJob(actual, balancer, settings, {"train": TinyLoader(BATCHES)}, tmp_path))
    norms = by_hand(expected)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(actual.state_dict()[name], value, msg=name, rtol=1e-7, atol=1e-9)
    assert not torch.allclose(actual.encoder.units, before, atol=1e-2)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["gradient_norm"] for record in records if "gradient_norm" in record] == pytest.approx(norms)
    assert max(norms) > CLIP


def in_double(epoch: Any) -> Any:
    def batches(self: TinyLoader, index: int, start: int = 0) -> Any:
        for batch in epoch(self, index, start):
            batch.image = batch.image.double()
            yield batch

    return batches


def halved(model: nn.Module, lr: float = 1.0) -> OptimizerSet:
    """The encoder with one optimiser, the decoder with another; a step with rate 1 moves by the gradient."""
    parts = [[p for n, p in model.named_parameters() if n.startswith(room)] for room in ("encoder", "decoder")]
    return OptimizerSet([torch.optim.SGD(parameters, lr=lr) for parameters in parts])


def setup_of(model: MultiTaskModel, precision: Any, clip: float | None = None, scale: float = 256.0) -> StepSetup:
    plugins: Any = [] if precision == "32-true" else [MixedPrecision(precision, "cpu")]
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugins)
    settings = TrainSettings(clip_norm=clip, channels_last=False)
    setup = StepSetup(fabric, model, build_balancer(), Stage(), settings, halved(model))
    if setup.scaler is not None:
        setup.scaler._init_scale = scale
    return setup


def moves(model: MultiTaskModel, setup: StepSetup) -> dict[str, Tensor]:
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    take_step(setup, [build_batch(1)])
    return {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_clipping_limits_the_norm_over_all_members(precision: str) -> None:
    model = build_model(dropout=0.0)
    actual = moves(model, setup_of(model, precision, clip=0.5))
    total = torch.stack([value.norm() for value in actual.values()]).norm()
    assert total.item() == pytest.approx(0.5, rel=1e-2)
    free = build_model(dropout=0.0)
    whole = moves(free, setup_of(free, precision))
    factors = [float(actual[name].norm() / value.norm()) for name, value in whole.items() if value.norm() > 1e-3]
    assert len(factors) > 8
    assert factors == pytest.approx([factors[0]] * len(factors), rel=1e-2)


def test_the_guard_sees_the_gradients_of_every_member() -> None:
    model = build_model(dropout=0.0)
    setup = setup_of(model, "32-true")
    model.decoder.initial.weight.register_hook(lambda gradient: gradient * float("nan"))
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises(UserError, match="the norm of the gradient is nan"):
        take_step(setup, [build_batch(1)])
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_the_loss_scale_is_updated_once_a_step() -> None:
    model = build_model(dropout=0.0)
    setup = setup_of(model, "16-mixed")
    assert setup.scaler is not None
    setup.scaler.set_growth_interval(2)
    scales = []
    for number in range(4):
        assert any(value.abs().sum() > 0 for value in moves(model, setup).values()), number
        scales.append(setup.scaler.get_scale())
    assert scales == [256.0, 512.0, 512.0, 1024.0]


@pytest.mark.parametrize("spoiled", ["encoder.trunk.0.0.weight", "decoder.initial.weight"])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_an_overflow_in_one_member_skips_them_all(spoiled: str, clip: float | None) -> None:
    model = build_model(dropout=0.0)
    setup = setup_of(model, "16-mixed", clip)
    assert setup.scaler is not None
    handle = dict(model.named_parameters())[spoiled].register_hook(lambda gradient: gradient * float("inf"))
    assert all(value.abs().sum() == 0 for value in moves(model, setup).values())
    assert setup.scaler.get_scale() == 128.0
    handle.remove()
    assert any(value.abs().sum() > 0 for value in moves(model, setup).values())
    assert setup.scaler.get_scale() == 128.0


def test_states_come_back_and_another_number_of_them_does_not() -> None:
    model = build_model(dropout=0.0)
    groups = [[parameter] for parameter in list(model.parameters())[:3]]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    first, again = (OptimizerSet([torch.optim.Adam(g, lr=0.1) for g in groups[:2]]) for _ in range(2))
    first.step()
    first.param_groups[1]["lr"] = 0.3
    again.load_state_dict(first.state_dict())
    assert again.param_groups[1]["lr"] == 0.3
    again.param_groups[1]["lr"] = 0.4
    assert again.members[1].param_groups[0]["lr"] == 0.4  # the set's groups are its members'
    assert torch.equal(again.members[1].state[groups[1][0]]["exp_avg"], first.members[1].state[groups[1][0]]["exp_avg"])
    for count in (1, 3):
        other = OptimizerSet([torch.optim.Adam(group) for group in groups[:count]])
        with pytest.raises(UserError, match=f"saved with 2 optimisers, but this stage has {count}"):
            other.load_state_dict(first.state_dict())
        with pytest.raises(UserError, match=f"saved with {count} optimisers, but this stage has 2"):
            first.load_state_dict(other.state_dict())


def test_one_member_saves_what_it_would_save_alone() -> None:
    model = build_model()
    alone = torch.optim.SGD(model.parameters(), lr=0.5)
    assert OptimizerSet([alone]).state_dict() == alone.state_dict()


def test_what_a_set_refuses() -> None:
    model = build_model()
    with pytest.raises(ValueError, match="appear in more than one"):
        OptimizerSet([torch.optim.SGD(model.parameters()), torch.optim.Adam(model.encoder.parameters())])
    with pytest.raises(ValueError, match="empty"):
        OptimizerSet([])
    with pytest.raises(TypeError, match="closure"):
        halved(model).step(lambda: 0.0)
