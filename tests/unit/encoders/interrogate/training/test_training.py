"""Tiny trainings of InterroGate: budgets are met, interruptions leave no trace, any balancer trains it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.types import Batch
from frugalmtl.deployment import plan_encoder
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.engine.checkpoints import load_matching_weights
from frugalmtl.model import MultiTaskModel
from tests.support.gated import (
    SIDE,
    ClockBy,
    measured,
    milliseconds,
    set_gates,
    toy_model,
    toy_tasks,
)


class ToyLoader:
    """Batches that depend on (epoch, index) alone."""

    batches_per_epoch = 3

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        for number in range(start, self.batches_per_epoch):
            generator = torch.Generator().manual_seed(100 * index + number)
            picture = torch.rand(2, 3, *SIDE, generator=generator)
            targets = {
                "segmentation": (torch.rand(2, *SIDE, generator=generator) * 3).long(),
                "depth": picture.mean(1, keepdim=True) * 3 + 1,
            }
            valid = {name: torch.ones(2, *SIDE, dtype=torch.bool) for name in targets}
            yield Batch(picture, targets, valid, [f"{index}.{number}.{sample}" for sample in range(2)])


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests interrupt the program, not the machine."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def fit(model: MultiTaskModel, folder: Path, *, epochs: int = 4, balancer: Any = "fixed", **more: Any) -> None:
    settings = TrainSettings(
        epochs=epochs,
        batch_size=2,
        optimizer={"name": "adam", "lr": 1e-3},
        accelerator="cpu",
        progress="off",
        checkpoint_every=more.pop("checkpoint_every", 0),
    )
    method = BALANCERS.build(balancer, toy_tasks())
    train(TrainJob(model, method, settings, {"train": ToyLoader()}, folder), **more)


@pytest.mark.parametrize(
    "settings", [{}, {"multiple": 4}, {"pretrain_share": 0.5}, {"gates": "importance", "shared_share": 0.25}], ids=str
)
def test_a_trained_model_costs_what_its_budget_says(settings: dict[str, Any], tmp_path: Path) -> None:
    plain = measured(toy_model("single_task"))
    model = toy_model(**{"budget": "0.6x", "frozen_share": 0.25, "pretrain_share": 0.0, **settings})
    plan_encoder(model, SIDE)
    fit(model, tmp_path)
    assert measured(model) == pytest.approx(0.6 * plain, rel=0.02)
    assert model.encoder.macs_of() == pytest.approx(measured(model), rel=1e-6)
    assert model.encoder.target_macs == pytest.approx(0.6 * plain, rel=1e-6)


def test_a_budget_in_operations(tmp_path: Path) -> None:
    plain = measured(toy_model("single_task"))
    model = toy_model(budget=f"{0.8 * plain / 1e6:.4f}M", frozen_share=0.25, pretrain_share=0.0)
    plan_encoder(model, SIDE)
    fit(model, tmp_path)
    assert measured(model) == pytest.approx(0.8 * plain, rel=0.02)


def test_a_trained_model_takes_the_time_that_its_budget_says(tmp_path: Path) -> None:
    reference = toy_model(pretrain_share=0.0)
    slow = milliseconds(reference)
    set_gates(reference.encoder, torch.zeros_like(reference.encoder.gates.alpha, dtype=torch.bool))
    fast = milliseconds(reference)
    wanted = 0.5 * (slow + fast)
    model = toy_model(budget=f"{wanted:.5f}ms", frozen_share=0.25, pretrain_share=0.0)
    before = model.encoder.gates.alpha.detach().clone()
    plan_encoder(model, SIDE, ClockBy(lambda: milliseconds(model)))
    assert torch.equal(model.encoder.gates.alpha, before), "measuring leaves the gates as they are"
    fit(model, tmp_path)
    assert milliseconds(model) == pytest.approx(wanted, rel=0.02)
    assert model.encoder.target_latency_ms == pytest.approx(wanted, rel=1e-5)


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("stop", [4, 9, 10, 11], ids=["learning", "before", "first frozen", "inside"])
def test_interrupted_trainings_end_with_the_same_gates_and_weights(stop: int, tmp_path: Path) -> None:
    """Four epochs of three steps, the last of them frozen."""
    settings = {"budget": "0.6x", "frozen_share": 0.25, "pretrain_share": 0.0}

    def fresh() -> MultiTaskModel:
        model = toy_model(**settings)
        plan_encoder(model, SIDE)
        return model

    def interrupt(done: int) -> None:
        if done == stop:
            raise Interrupted

    whole, resumed = fresh(), fresh()
    fit(whole, tmp_path / "whole", checkpoint_every=1)
    with pytest.raises(Interrupted):
        fit(resumed, tmp_path / "parts", checkpoint_every=1, on_step=interrupt)
    resumed = fresh()
    fit(resumed, tmp_path / "parts", checkpoint_every=1)
    expected = whole.state_dict()
    different = [name for name, value in resumed.state_dict().items() if not torch.equal(value, expected[name])]
    assert not different


def test_gates_learn_what_the_tasks_need(tmp_path: Path) -> None:
    model = toy_model(pretrain_share=0.0, lambda_s=20.0, gate_lr=1.0)
    before = model.encoder.gates.alpha.detach().clone()
    fit(model, tmp_path, epochs=2)
    assert not torch.equal(model.encoder.gates.alpha, before)
    assert measured(model) < measured(toy_model("single_task")), "a strong penalty closes gates"


@pytest.mark.parametrize(
    "balancer",
    [
        {"name": "pcgrad"},
        {"name": "pcgrad", "gradients_at": "parameters"},
        "uncertainty",
    ],
    ids=str,
)
def test_any_balancer_trains_it(balancer: Any, tmp_path: Path) -> None:
    model = toy_model(budget="0.7x", frozen_share=0.5, pretrain_share=0.0)
    plan_encoder(model, SIDE)
    fit(model, tmp_path, epochs=2, balancer=balancer)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert measured(model) == pytest.approx(model.encoder.target_macs, rel=0.02)


def test_gates_that_stay_open_train_single_task_networks(tmp_path: Path) -> None:
    """The end of the curve: trained from the same weights by one schedule, every network and head learns the same."""
    alone, gated = toy_model("single_task"), toy_model(pretrain_share=0.0, lambda_s=0.0, initial=10.0)
    gated.decoder.load_state_dict(alone.decoder.state_dict())
    fit(alone, tmp_path / "alone", epochs=2)
    fit(gated, tmp_path / "gated", epochs=2)
    for part, twin in ((alone.encoder.networks, gated.encoder.networks), (alone.decoder, gated.decoder)):
        for name, value in part.state_dict().items():
            assert torch.allclose(twin.state_dict()[name], value, rtol=1e-5, atol=1e-7), name


def test_weights_of_single_task_networks_are_where_it_starts(tmp_path: Path) -> None:
    trained = toy_model("single_task")
    fit(trained, tmp_path, epochs=1)
    model = toy_model(pretrain_share=0.0)
    load_matching_weights(model, next((tmp_path / "checkpoints").rglob("model.safetensors")).parent)
    for name, value in trained.encoder.networks.state_dict().items():
        assert torch.equal(model.encoder.networks.state_dict()[name], value)
    picture = torch.randn(2, 3, *SIDE)
    model.eval()
    with torch.no_grad():
        computed, expected = model(picture).by_task, trained(picture).by_task
    for name, value in expected.items():
        assert torch.allclose(computed[name], value, atol=1e-5), "all gates are open at first"


@pytest.mark.parametrize("gates", ["random", "cost", "importance"])
def test_gates_that_follow_no_gradient_are_not_taken_from_another_run(gates: str, tmp_path: Path) -> None:
    first = toy_model(pretrain_share=0.0, shared_share=1.0)
    untrained = {name: value.clone() for name, value in first.state_dict().items()}
    fit(first, tmp_path, epochs=1)
    changed = [name for name, value in first.named_parameters() if not torch.equal(value, untrained[name])]
    assert changed
    assert all(name.startswith("encoder.shared.") for name in changed), "the shared branch alone has trained"
    model = toy_model(gates=gates, budget="0.6x", frozen_share=0.25, pretrain_share=0.0)
    gate, cost = model.encoder.gates.alpha.detach().clone(), model.encoder.gates.cost.clone()
    leave = [f"encoder.{pattern}" for pattern in model.encoder.decisions]
    load_matching_weights(model, next((tmp_path / "checkpoints").rglob("model.safetensors")).parent, leave=leave)
    assert torch.equal(model.encoder.gates.alpha, gate)
    assert torch.equal(model.encoder.gates.cost, cost)
    assert torch.equal(next(model.encoder.shared.parameters()), next(first.encoder.shared.parameters()))
