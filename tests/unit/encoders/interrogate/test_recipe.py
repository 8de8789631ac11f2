"""InterroGate before and beside training: recipe, refusals, pictures, statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import UserError
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.parameter_groups import build_optimizer
from tests.support.channels import CIFAR, image, worst
from tests.support.gated import (
    NAMES,
    deployed,
    draw_gates,
    gated,
    set_gates,
    toy_model,
    toy_tasks,
)


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
        ({"budget": "0.6x", "frozen_share": 0.0}, "frozen_share"),
        ({"multiple": 8, "frozen_share": 0.0}, "frozen_share"),
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


def test_pictures_show_the_gates() -> None:
    encoder = gated("vision_transformer", 3)
    draw_gates(encoder, 3)
    kept, largest, heard = encoder.pictures()
    sites = len(encoder.graph.sites)
    for picture in (kept, largest, heard):
        assert list(picture.rows) == list(NAMES[:3])
        assert len(picture.columns) == len(set(picture.columns)) == sites
        assert np.array(picture.values).shape == (3, sites)
    masks = encoder.gates.private()
    for row in range(3):
        for column in range(sites):
            assert kept.values[row][column] == pytest.approx(masks[column][row].mean())
    start = 0
    for column, width in enumerate(encoder.gates.places.widths):
        beta = encoder.gates.beta.detach()[:, start : start + width]
        first = [float((beta.argmax(0) == row).float().mean()) for row in range(3)]
        assert [line[column] for line in largest.values] == pytest.approx(first)
        shares = beta.softmax(0).mean(1)
        assert [line[column] for line in heard.values] == pytest.approx(shares.tolist(), rel=1e-5)
        start += width


def test_tasks_that_weigh_alike_share_a_channel() -> None:
    encoder = gated(CIFAR, 2)
    with torch.no_grad():
        encoder.gates.beta.zero_()
    assert encoder.pictures()[1].values == [[0.5] * len(encoder.graph.sites)] * 2


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


def test_nothing_is_decided_while_gates_are_frozen() -> None:
    (joint,) = gated(CIFAR, 2, pretrain_share=0.0, budget="0.8x", frozen_share=0.4).recipe()
    assert [joint.settled_from(epochs) for epochs in (2, 5, 10)] == [1, 3, 6]
    learning = gated(CIFAR, 2, pretrain_share=0.0).recipe()[-1]
    assert learning.settled_from(10) == 10, "gates learn to the end"
    alone = gated(CIFAR, 2, pretrain_share=0.7, shared_share=0.3).recipe()[-1]
    assert (alone.name, alone.settled_from(10)) == ("shared", 0)
