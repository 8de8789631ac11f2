"""InterroGate as it is trained: recipe, refusals, budgets on the way and at the end, settled gates."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.core.types import Batch
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import deploy, plan_encoder
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate import InterroGate
from frugalmtl.engine import TrainSettings, train
from frugalmtl.engine.checkpoint import load_matching_weights
from frugalmtl.engine.parameter_groups import build_optimizer
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import TASKS, Task
from tests.unit.encoders.interrogate.helpers import (
    CIFAR,
    NAMES,
    backbone,
    deployed,
    draw_gates,
    gated,
    image,
    scramble,
    set_gates,
    worst,
)
from tests.unit.encoders.interrogate.test_program import Needs

SIDE = (16, 16)


# --- recipe and refusals


def test_recipe_trains_single_tasks_first_and_gates_by_themselves() -> None:
    encoder = gated(CIFAR, 2, gate_lr=0.3, pretrain_share=0.25, lambda_s=0.07)
    alone, joint = encoder.recipe()
    assert (alone.name, alone.share, joint.share) == ("single_task", 0.25, 0.75)
    names = [f"encoder.{name}" for name, _ in encoder.named_parameters()]
    assert all(alone.trains(name) == name.startswith("encoder.networks.") for name in names)
    assert all(joint.trains(name) for name in names)
    assert joint.penalties == {"sparsity": 0.07}
    assert not alone.penalties
    (group,) = joint.groups
    assert (group.pattern, group.scheduled, group.weight_decay) == ("encoder.gates.*", False, 0.0)
    assert group.optimizer == {"name": "sgd", "lr": 0.3, "momentum": 0.0, "weight_decay": 0.0}


def test_gates_keep_their_optimiser_whatever_the_run_uses() -> None:
    model = toy_model(pretrain_share=0.0)
    settings = TrainSettings(epochs=2, batch_size=2, optimizer={"name": "adam", "lr": 1e-3, "weight_decay": 0.5})
    optimizer = build_optimizer(model, BALANCERS.build("fixed", toy_tasks()), model.recipe()[0], settings)
    gates = {id(parameter) for parameter in model.encoder.gates.parameters()}
    holding = [group for group in optimizer.param_groups if gates & {id(parameter) for parameter in group["params"]}]
    assert len(holding) == 1
    assert {id(parameter) for parameter in holding[0]["params"]} == gates
    assert (holding[0]["lr"], holding[0]["weight_decay"], holding[0]["momentum"]) == (0.1, 0.0, 0.0)
    assert not holding[0]["scheduled"]


def test_recipe_of_a_run_that_starts_from_trained_networks() -> None:
    (joint,) = gated(CIFAR, 2, pretrain_share=0.0).recipe()
    assert joint.share == 1.0


def test_a_budget_takes_the_place_of_the_penalty() -> None:
    settings: dict[str, Any] = {"budget": "0.8x", "frozen_share": 0.25}
    assert not gated(CIFAR, 2, **settings).recipe()[-1].penalties
    assert gated(CIFAR, 2, lambda_s=0.01, **settings).recipe()[-1].penalties == {"sparsity": 0.01}
    assert gated(CIFAR, 2).recipe()[-1].penalties == {"sparsity": 0.05}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tau": {"nera": 0.5}}, "nera.*near"),
        ({"tau": {"near": 0.5}}, "tau lacks far"),
        ({"tau": 1.5}, "tau must lie"),
        ({"tau": {"near": 0.5, "far": -1.0}}, "tau of 'far'"),
        ({"budget": "0.6x"}, "frozen_share"),
        ({"multiple": 8}, "frozen_share"),
        ({"budget": "much", "frozen_share": 0.25}, "budget must be"),
        ({"lambda_s": -0.1}, "lambda_s"),
        ({"pretrain_share": 1.0}, "pretrain_share"),
        ({"frozen_share": 1.0}, "frozen_share"),
        ({"ramp": 1.5}, "ramp"),
        ({"initial": 0.0}, "initial"),
        ({"initial": -0.1}, "initial"),
        ({"gate_lr": 0.0}, "gate_lr"),
        ({"multiple": 0, "frozen_share": 0.25}, "multiple"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refusals(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        gated(CIFAR, 2, **settings)
    assert "\n" not in str(caught.value)


def test_single_task_stage_is_single_task_networks() -> None:
    encoder = gated(CIFAR, 2)
    draw_gates(encoder, 0)
    encoder.enter_stage("single_task")
    with torch.no_grad():
        features = encoder(image())
        for name, network in encoder.networks.items():
            assert all(torch.equal(a, b) for a, b in zip(features.by_task[name], network(image()), strict=True))
        assert worst(features.by_task, deployed(encoder)(image())) <= 1e-6
    assert not features.penalties
    assert not encoder.pictures()


# --- pictures and statistics


def test_pictures_show_the_gates() -> None:
    encoder = gated("test_vit", 3)
    draw_gates(encoder, 3)
    own, heard = encoder.pictures()
    sites = len(encoder.graph.sites)
    for picture in (own, heard):
        assert list(picture.rows) == list(NAMES[:3])
        assert len(picture.columns) == len(set(picture.columns)) == sites
        assert np.array(picture.values).shape == (3, sites)
    masks = encoder.gates.own()
    for row in range(3):
        for column in range(sites):
            assert own.values[row][column] == pytest.approx(masks[column][row].mean())
    start = 0
    for column, width in enumerate(encoder.gates.places.widths):
        shares = encoder.gates.beta.detach()[:, start : start + width].softmax(0).mean(1)
        assert [line[column] for line in heard.values] == pytest.approx(shares.tolist(), rel=1e-5)
        start += width


def test_statistics_tell_soft_and_hard_shares() -> None:
    encoder = gated(CIFAR, 2)
    choice = torch.zeros_like(encoder.gates.alpha, dtype=torch.bool)
    choice[0] = True
    set_gates(encoder, choice)
    with torch.no_grad():
        statistics = encoder(image()).statistics
    assert float(statistics["own.near"]) == pytest.approx(1.0)
    assert float(statistics["own.far"]) == 0.0
    assert float(statistics["own_soft.near"]) == pytest.approx(1 / (1 + np.exp(-0.5)), rel=1e-5)


# --- budgets


def budgeted(budget: str, tasks: int = 2, kind: str = CIFAR, **settings: Any) -> InterroGate:
    """With alphas as after some training."""
    encoder = gated(kind, tasks, budget=budget, frozen_share=0.25, pretrain_share=0.0, **settings)
    with torch.no_grad():
        encoder.gates.alpha.add_(0.05 * torch.randn(encoder.gates.alpha.shape))
        encoder.gates.alpha.clamp_(min=0.001)
    return encoder.train()


@pytest.mark.parametrize("budget", ["0.1x", "1.5x", "1k", "1T"])
def test_a_budget_that_cannot_be_kept_is_refused_before_training(budget: str) -> None:
    encoder = budgeted(budget)
    before = deepcopy(encoder.state_dict())
    with pytest.raises(UserError, match=r"cannot be kept.*ask for something between") as caught:
        encoder.plan(ModelContext(SIDE, 0.0))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items() if name != "goal")


def test_the_heads_are_part_of_a_budget() -> None:
    encoder = budgeted("0.9x")
    encoder.plan(ModelContext(SIDE, 0.0))
    bare = encoder.target_macs
    encoder.plan(ModelContext(SIDE, 1e6))
    assert encoder.target_macs == pytest.approx(bare + 0.9e6)
    assert budgeted("0.9x").target_macs is None, "not known before"


def test_steps_need_to_know_the_rest_of_the_model() -> None:
    with pytest.raises(UserError, match="plan"):
        budgeted("0.9x").enter_step(0.0)


@pytest.mark.parametrize(("kind", "settings"), [(CIFAR, {}), ("test_vit", {"attention": "heads"})], ids=["cnn", "vit"])
def test_the_cost_falls_along_the_ramp(kind: str, settings: dict[str, Any]) -> None:
    """From T networks' to the budget over the first half of the learning epochs; then it stays there."""
    encoder = budgeted("0.7x", kind=kind, ramp=0.5, **settings)
    encoder.plan(ModelContext((32, 32), 0.0))
    encoder.enter_epoch(0, 4)  # of which the last one has settled gates
    full, goal = encoder.budget_control.full, encoder.target_macs
    costs, wanted = [], []
    for share in np.linspace(0.0, 0.74, 12):
        for _ in range(3):  # what the smooth formula leaves out is learned from the step before
            encoder.enter_step(float(share))
        costs.append(encoder.macs_of())
        wanted.append(full + (goal - full) * min(1.0, share / 0.75 / 0.5))
    assert goal == pytest.approx(0.7 * full)
    assert costs == pytest.approx(wanted, rel=0.06)
    assert sorted(costs, reverse=True) == pytest.approx(costs, rel=0.03)
    assert costs[0] == pytest.approx(full, rel=0.02)
    assert costs[-1] == pytest.approx(goal, rel=0.06)


def test_without_a_ramp_the_budget_holds_from_the_first_step() -> None:
    encoder = budgeted("0.7x", ramp=0.0)
    encoder.plan(ModelContext(SIDE, 0.0))
    encoder.enter_step(0.0)
    assert encoder.macs_of() == pytest.approx(encoder.target_macs, rel=0.03)


@pytest.mark.parametrize("multiple", [1, 4])
def test_gates_are_settled_once_and_frozen(multiple: int) -> None:
    encoder = budgeted("0.75x", 3, multiple=multiple)
    encoder.plan(ModelContext(SIDE, 0.0))
    encoder.enter_stage("joint")
    encoder.enter_epoch(5, 8)
    encoder.enter_step(5 / 8)
    encoder(image(2, SIDE)).penalties["sparsity"].backward()
    assert encoder.gates.alpha.grad is not None
    assert float(encoder.gates.price) != 0.0
    encoder.zero_grad(set_to_none=True)
    encoder.enter_epoch(6, 8)
    features = encoder(image(2, SIDE))
    (features.by_task["near"][0].sum() + features.penalties["sparsity"]).backward()
    grad = encoder.gates.alpha.grad
    assert grad is None or not grad.any(), "from the hook on"
    encoder.enter_step(6 / 8)
    decided = encoder.gates.alpha.detach().clone()
    assert float(encoder.gates.price) == 0.0
    assert encoder.macs_of() == pytest.approx(encoder.target_macs, rel=0.02)
    for mask in encoder.gates.own():
        widths = [*mask.sum(1).tolist(), int((~mask.all(0)).sum())]
        assert all(width % multiple == 0 for width in widths)
    features = encoder(image(2, SIDE))
    loss = torch.stack([level.square().mean() for pyramid in features.by_task.values() for level in pyramid]).sum()
    (loss + features.penalties["sparsity"]).backward()
    grad = encoder.gates.alpha.grad
    assert grad is None or not grad.any()
    assert encoder.gates.beta.grad is not None, "the mix is still learned"
    encoder.enter_epoch(7, 8)
    encoder.enter_step(7 / 8)
    assert torch.equal(encoder.gates.alpha, decided)


def test_frozen_epochs_without_a_budget_keep_the_gates_as_learned() -> None:
    encoder = gated(CIFAR, 2, frozen_share=0.5, pretrain_share=0.0).train()
    draw_gates(encoder, 4)
    before = encoder.gates.alpha.detach().clone()
    encoder.enter_stage("joint")
    for epoch in range(4):
        encoder.enter_epoch(epoch, 4)
        encoder.enter_step(epoch / 4)
    assert torch.equal(encoder.gates.alpha, before)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(CIFAR, {}), ("test_vit", {"attention": "heads"}), ("test_vit", {"projection": True}), ("test_efficientnet", {})],
    ids=["cnn", "heads", "projection", "excitation"],
)
def test_training_with_frozen_gates_is_training_with_gates_that_do_not_move(
    kind: str, settings: dict[str, Any]
) -> None:
    """Outputs, gradients and running statistics, whatever is left out of the computation."""
    encoder = gated(kind, 2, frozen_share=0.5, pretrain_share=0.0, **settings).train()
    draw_gates(encoder, 4)
    frozen, free = encoder, deepcopy(encoder)
    starts = [*deepcopy(encoder.networks).values(), deepcopy(encoder.shared)]
    for part in (frozen, free):
        part.enter_stage("joint")
    frozen.enter_epoch(1, 2)
    frozen.enter_step(0.5)
    results = []
    for part in (frozen, free):
        features = part(image(4))
        generator = torch.Generator().manual_seed(0)
        torch.stack(
            [
                (level * torch.randn(level.shape, generator=generator)).mean()
                for pyramid in features.by_task.values()
                for level in pyramid
            ]
        ).sum().backward()
        results.append(features.by_task)
    assert worst(*results) <= 1e-4
    others = dict(free.named_parameters())
    for name, parameter in frozen.named_parameters():
        if name == "gates.alpha":
            continue
        zero = torch.zeros_like(parameter)
        given = parameter.grad if parameter.grad is not None else zero
        plain = others[name].grad if others[name].grad is not None else zero
        assert (given - plain).abs().max() <= 2e-3 * plain.abs().max() + 1e-6, name
    branches, needs = [*frozen.networks.values(), frozen.shared], Needs(frozen)
    twins = [*free.networks.values(), free.shared]
    for (branch, index), channels in needs.made.items():
        target = frozen.graph.nodes[index].operation.target or ""
        if isinstance(branches[branch].get_submodule(target), _BatchNorm) and target:
            given, plain = (part[branch].get_submodule(target).running_mean for part in (branches, twins))
            kept = sorted(channels)
            assert torch.allclose(given[kept], plain[kept], atol=1e-5), target
            assert bool((given[kept] != starts[branch].get_submodule(target).running_mean[kept]).any())
    frozen.eval()
    with torch.no_grad():
        assert worst(frozen(image()).by_task, deployed(frozen)(image())) <= 1e-4


def test_frozen_networks_are_copied_and_evaluated_like_others() -> None:
    encoder = gated(CIFAR, 2, frozen_share=0.5, pretrain_share=0.0).train()
    draw_gates(encoder, 4)
    encoder.enter_stage("joint")
    encoder.enter_epoch(1, 2)
    encoder.enter_step(0.5)
    encoder.eval()
    twin = deepcopy(encoder)
    with torch.no_grad():
        before = encoder(image()).by_task
        assert worst(before, twin(image()).by_task) == 0.0
        scramble(twin, 9)
        assert worst(before, encoder(image()).by_task) == 0.0, "a copy has weights of its own"
        assert worst(before, twin(image()).by_task) > 0.0


# --- real, tiny trainings


def toy_tasks() -> tuple[Task, ...]:
    return (TASKS.build({"name": "segmentation", "classes": ["a", "b", "c"]}), TASKS.build("depth"))


def toy_model(name: str = "interrogate", **settings: Any) -> MultiTaskModel:
    seed_everything(derive_seed(7, "weights"))
    tasks = toy_tasks()
    encoder = ENCODERS.build({"name": name, **settings}, backbone(CIFAR), [task.name for task in tasks])
    decoder = DECODERS.build({"name": "independent", "head": "linear"}, encoder.channels, encoder.strides, tasks)
    return MultiTaskModel(encoder, decoder, tasks)


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
    made = BALANCERS.build(balancer, toy_tasks())
    train(model, made, toy_tasks(), settings, ToyLoader(), folder, **more)


def measured(model: MultiTaskModel) -> int:
    return count(deploy(model, example=torch.randn(1, 3, *SIDE)), SIDE).macs


@pytest.mark.parametrize("settings", [{}, {"multiple": 4}, {"pretrain_share": 0.5}], ids=str)
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


def stopwatch(model: MultiTaskModel) -> float:
    """Milliseconds as a bent function of the operations of the deployed model."""
    deployed_macs = count(deploy(model, example=torch.randn(1, 3, *SIDE)), SIDE).macs
    return (deployed_macs / 1e6) ** 1.5


def test_a_trained_model_takes_the_time_that_its_budget_says(tmp_path: Path) -> None:
    reference = toy_model(pretrain_share=0.0)
    slow = stopwatch(reference)
    set_gates(reference.encoder, torch.zeros_like(reference.encoder.gates.alpha, dtype=torch.bool))
    fast = stopwatch(reference)
    wanted = 0.5 * (slow + fast)
    model = toy_model(budget=f"{wanted:.5f}ms", frozen_share=0.25, pretrain_share=0.0)
    before = model.encoder.gates.alpha.detach().clone()
    plan_encoder(model, SIDE, lambda: stopwatch(model))
    assert torch.equal(model.encoder.gates.alpha, before), "measuring leaves the gates as they are"
    fit(model, tmp_path)
    assert stopwatch(model) == pytest.approx(wanted, rel=0.02)
    assert model.encoder.target_latency_ms == pytest.approx(wanted, rel=1e-5)


def test_time_is_measured_at_the_start_and_when_gates_are_settled_only() -> None:
    encoder = budgeted("5ms")
    calls: list[float] = []

    def watch() -> float:
        calls.append(encoder.macs_of() / encoder.budget_control.full * 7)
        return calls[-1]

    encoder.plan(ModelContext(SIDE, 0.0, watch))
    assert len(calls) == 2
    encoder.enter_stage("joint")
    for epoch in range(8):
        known = len(calls)
        encoder.enter_epoch(epoch, 8)
        assert (len(calls) > known) == (epoch == 6)
        encoder.enter_step(epoch / 8)
    assert calls[-1] == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize("budget", ["0.5ms", "500ms"])
def test_a_time_that_cannot_be_kept_is_refused(budget: str) -> None:
    model = toy_model(budget=budget, frozen_share=0.25, pretrain_share=0.0)
    with pytest.raises(UserError, match=r"ms cannot be kept: on this machine.*ask for something between"):
        plan_encoder(model, SIDE, lambda: stopwatch(model))
    with pytest.raises(UserError, match="measured"):
        plan_encoder(model, SIDE)


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
        given, wanted = model(picture).by_task, trained(picture).by_task
    for name, value in wanted.items():
        assert torch.allclose(given[name], value, atol=1e-5), "all gates are open at first"


# --- the whole model


def test_whole_models_are_deployed_at_the_predicted_cost() -> None:
    """Heads that read one level, an auxiliary task, and everything that comes after the encoder's own deployment."""
    tasks = (*toy_tasks(), TASKS.build({"name": "edges", "auxiliary": True}))
    encoder = InterroGate(backbone("test_resnet"), [task.name for task in tasks], multiple=2, frozen_share=0.25)
    scramble(encoder, 1)
    decoder = DECODERS.build(
        {"name": "independent", "head": "hrnet", "heads": {"depth": "linear"}}, encoder.channels, encoder.strides, tasks
    )
    model = MultiTaskModel(encoder, decoder, tasks).eval()
    scramble(model.decoder, 2)
    plan_encoder(model, (64, 96))
    assert encoder.levels()[2] == (), "nobody predicts edges"
    for seed in (1, 2):
        draw_gates(encoder, seed)
        plain = deploy(model)
        with torch.no_grad():
            wanted, given = model(image()).by_task, plain(image())
        for name, value in wanted.items():
            assert (value - given[name]).abs().max() <= 1e-4 * max(1.0, float(value.abs().max()))
        assert encoder.macs_of() == pytest.approx(count(plain, (64, 96)).macs, rel=1e-9)


def test_state_of_a_trained_encoder_is_all_that_is_needed() -> None:
    """Gates, prices and goals travel with the weights."""
    encoder = budgeted("0.7x")
    encoder.plan(ModelContext(SIDE, 0.0))
    encoder.enter_step(0.7)
    fresh = gated(CIFAR, 2, seed=3, budget="0.7x", frozen_share=0.25, pretrain_share=0.0)
    fresh.load_state_dict(encoder.state_dict())
    batch: Tensor = image()
    with torch.no_grad():
        assert worst(encoder.eval()(batch).by_task, fresh.eval()(batch).by_task) == 0.0
        assert worst(encoder(batch).by_task, deployed(fresh)(batch)) <= 1e-4
    assert fresh.target_macs == encoder.target_macs
