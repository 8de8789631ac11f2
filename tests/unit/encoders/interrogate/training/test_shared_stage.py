"""InterroGate's shared branch alone, between the single-task networks and the joint training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from tests.support.channels import CIFAR, image, worst
from tests.support.gated import deployed, gated, set_gates, toy_model


def test_the_stages_follow_each_other_in_their_shares() -> None:
    stages = gated(CIFAR, 2, pretrain_share=0.5, shared_share=0.125).recipe()
    assert [(stage.name, stage.share) for stage in stages] == [
        ("single_task", 0.5),
        ("shared", 0.125),
        ("joint", 0.375),
    ]
    alone = gated(CIFAR, 2, pretrain_share=0.0, shared_share=1.0).recipe()
    assert [stage.name for stage in alone] == ["shared"]
    both = gated(CIFAR, 2, pretrain_share=0.7, shared_share=0.3).recipe()
    assert [stage.name for stage in both] == ["single_task", "shared"], "whatever a sum of floats leaves"


def test_the_shared_branch_alone_trains_and_heads_stay_as_they_are() -> None:
    model = toy_model(pretrain_share=0.0, shared_share=0.5)
    shared = next(stage for stage in model.recipe() if stage.name == "shared")
    for name, _ in model.named_parameters():
        assert shared.trains(name) == name.startswith("encoder.shared."), name


def test_its_features_are_those_of_all_gates_closed() -> None:
    encoder = gated(CIFAR, 3)
    set_gates(encoder, torch.zeros_like(encoder.gates.alpha, dtype=torch.bool))
    with torch.no_grad():
        closed = encoder(image()).by_task
        encoder.enter_stage("shared")
        alone = encoder(image())
        plain = deployed(encoder)(image())
    assert not alone.penalties
    assert worst(closed, alone.by_task) < 1e-4
    assert worst(closed, plain) < 1e-4
    assert all(one is other for one, other in zip(*list(alone.by_task.values())[:2], strict=True))


def test_a_wanted_task_is_answered_alone() -> None:
    encoder = gated(CIFAR, 3)
    encoder.enter_stage("shared")
    assert list(encoder.branch(encoder.encode(image(), ("far",)), ("far",)).by_task) == ["far"]
    assert encoder.encode(image(), ()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shared_share": 0.6, "pretrain_share": 0.5}, "together they must be 1 or less"),
        ({"shared_share": 1.5, "pretrain_share": 0.0}, "shared_share"),
    ],
)
def test_wrong_shares_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        gated(CIFAR, 2, **options)
