"""AdaShare's budget, counted on the deployed model."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.adashare.encoder import AdaShare
from frugalmtl.model import MultiTaskModel
from tests.support.gated import toy_tasks
from tests.support.views.adashare import CIFAR, NO_VIEW, SIDE, measured, set_odds, toy_model
from tests.support.views.residual import residual_backbone

SHARES = {CIFAR: (0.3, 0.52, 0.7), "dilated": (0.45, 0.7), "vision_transformer": (0.6, 0.8)}
HEADS = {"vision_transformer": "hrnet"}


def planned(kind: str, budget: str | None, size: tuple[int, int] = SIDE, **settings: Any) -> MultiTaskModel:
    """A model whose budget is known to be possible."""
    model = toy_model(kind, head=HEADS.get(kind, "linear"), budget=budget, **settings)
    plan_encoder(model, size)
    return model


def single_task(kind: str, size: tuple[int, int] = SIDE) -> float:
    """Multiply-adds of two networks with their heads: what shares refer to, from a model without a budget."""
    model = planned(kind, None, size)
    encoder = encoder_of(model)
    assert encoder.choice.budget is not None
    return encoder.choice.budget.single_task


def encoder_of(model: MultiTaskModel) -> AdaShare:
    assert isinstance(model.encoder, AdaShare)
    return model.encoder


CASES = [(kind, share, seed) for kind, shares in SHARES.items() for seed, share in enumerate(shares)]


@pytest.mark.parametrize(("kind", "share", "seed"), CASES)
def test_searched_policies_are_deployed_within_2_percent(kind: str, share: float, seed: int) -> None:
    size = (64, 64) if kind == "vision_transformer" else SIDE
    model = planned(kind, f"{share}x", size, choose="argmax")
    encoder = encoder_of(model)
    set_odds(encoder, seed)
    encoder.enter_stage("search")
    encoder.end_stage("search", NO_VIEW)
    encoder.enter_stage("retrain")
    assert encoder.target_macs == pytest.approx(share * single_task(kind, size))
    assert measured(model, size) == pytest.approx(encoder.target_macs, rel=0.02)


@pytest.mark.parametrize("policy", ["random", "cost_order"])
def test_policies_without_a_search_are_deployed_within_2_percent(policy: str) -> None:
    for kind in (CIFAR, "dilated"):
        model = planned(kind, "0.6x", policy=policy)
        assert measured(model) == pytest.approx(encoder_of(model).target_macs, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "head"),
    [(CIFAR, "hrnet"), ("dilated", "linear"), ("vision_transformer", "hrnet"), ("swin_transformer", "linear")],
)
def test_cost_of_any_policy_is_that_of_the_deployed_model(kind: str, head: str) -> None:
    """To the last multiply-add, heads and necks included."""
    generator = np.random.default_rng(0)
    model = toy_model(kind, head=head)
    plan_encoder(model, (64, 64))
    encoder = encoder_of(model)
    goal = encoder.choice.budget
    assert goal is not None
    for density in (0.4, 0.8):
        policy = generator.random((2, len(encoder.gated))) < density
        encoder.choice.decide(policy)
        assert goal.cost_of(policy) == pytest.approx(measured(model, (64, 64)), rel=1e-6)


def test_shares_refer_to_the_single_task_networks() -> None:
    tasks = toy_tasks()
    for kind, head in ((CIFAR, "linear"), ("vision_transformer", "hrnet")):
        encoder = ENCODERS.build("single_task", residual_backbone(kind), [task.name for task in tasks])
        decoder = DECODERS.build({"name": "independent", "head": head}, encoder.channels, encoder.strides, tasks)
        reference = measured(MultiTaskModel(encoder, decoder, tasks), (64, 64))
        assert single_task(kind, (64, 64)) == pytest.approx(reference, rel=1e-6)


def test_a_budget_that_cannot_be_kept_is_refused_before_training() -> None:
    for budget in ("0.01x", "1k"):
        with pytest.raises(UserError, match="cannot be kept"):
            planned(CIFAR, budget)


def test_a_saved_model_keeps_its_policy_and_goal() -> None:
    model = planned(CIFAR, "0.6x", policy="random")
    encoder = encoder_of(model)
    other = deepcopy(toy_model(CIFAR, policy="random", budget="0.6x"))
    fresh = encoder_of(other)
    fresh.choice.seed.fill_(99)
    other.load_state_dict(model.state_dict())
    assert fresh.target_macs == encoder.target_macs
    plan_encoder(other, (64, 64))
    assert (fresh.choice.mask() == encoder.choice.mask()).all()
