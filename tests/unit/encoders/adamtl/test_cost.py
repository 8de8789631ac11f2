"""Multiply-adds by the formula against those that are counted while the deployed model runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.seeding import seed_everything
from frugalmtl.decoders.independent import Independent
from frugalmtl.deployment import deploy
from frugalmtl.deployment.planning import plan_encoder
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.adamtl.efficiency.cost import nearest_blocks
from frugalmtl.encoders.adamtl.encoder import AdaMTLEncoder
from frugalmtl.encoders.base import ModelContext
from frugalmtl.evaluation.cost import distribution
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation
from tests.support.backbones import tiny_backbone

SIZE = (64, 96)
CASES = [
    {},
    {"attention": "dense"},
    {"mask_unit": "window", "dropped": "norm"},
    {"skip": "tokens", "token_net_per_block": True},
    {"skip": "blocks", "task_aware": False, "block_policy": "flatten", "image_size": SIZE},
    {"policy": "random"},
    {"policy": "always_on"},
]


def images(count: int) -> Tensor:
    spread = torch.linspace(0.1, 3.0, count).view(-1, 1, 1, 1)
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * spread


def build(kind: str = "swin_transformer", **options: object) -> MultiTaskModel:
    seed_everything(0)
    tasks = [segmentation(classes=("wall", "floor", "chair"))]
    encoder = ENCODERS.build({"name": "adamtl", **options}, tiny_backbone(kind), [task.name for task in tasks])
    decoder = Independent(encoder.channels, encoder.strides, tasks, head="linear")
    return MultiTaskModel(encoder, decoder, tasks).eval()


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("kind", ["swin_transformer", "vision_transformer"])
def test_the_formula_is_what_runs(kind: str, options: dict[str, object]) -> None:
    model, batch = build(kind, **options), images(3)
    encoder = model.encoder
    assert isinstance(encoder, AdaMTLEncoder)
    plan_encoder(model, SIZE)
    plain, cost = deploy(model, example=batch), encoder.cost
    assert cost is not None
    counted = [distribution(plain, [image]).mean for image in batch]
    assert cost(plain.decide(batch)).tolist() == counted
    assert all(cost.cheapest <= macs <= cost.dearest for macs in counted)
    everything = plain.encoder.everything(batch[:1])  # type: ignore[operator]
    assert cost(everything).item() == cost.dearest
    nothing = {
        name: value & (options.get("skip") == "tokens" and name.startswith("blocks"))
        for name, value in everything.items()
    }
    assert cost(nothing).item() == cost.cheapest


def test_fixed_blocks_are_as_near_to_a_goal_as_can_be() -> None:
    encoder = build().encoder
    assert isinstance(encoder, AdaMTLEncoder)
    cost = encoder.image_cost(SIZE)
    dearest = max(macs.whole for macs in cost.gated.values())
    for share in (0.0, 0.3, 0.6, 0.9, 1.0):
        goal = cost.cheapest + share * (cost.dearest - cost.cheapest)
        runs = nearest_blocks(cost, goal)
        distance = abs(cost.with_blocks(runs) - goal)
        assert distance <= dearest / 2
        for number in range(len(runs)):
            other = [on != (at == number) for at, on in enumerate(runs)]
            assert abs(cost.with_blocks(other) - goal) >= distance
    assert nearest_blocks(cost, cost.dearest) == [True] * len(cost.gated)
    assert nearest_blocks(cost, cost.cheapest) == [False] * len(cost.gated)


def test_a_static_policy_leaves_out_the_same_blocks_of_all_images() -> None:
    whole = build()
    plan_encoder(whole, SIZE)
    assert isinstance(whole.encoder, AdaMTLEncoder)
    assert whole.encoder.cost is not None
    goal = 0.8 * whole.encoder.cost.dearest
    model = build(policy="static", points=[f"{goal / 1e6:.4f}M"])
    plan_encoder(model, SIZE)
    encoder = model.encoder
    assert isinstance(encoder, AdaMTLEncoder)
    assert 0 < encoder.policies.runs.sum() < len(encoder.policies.runs)
    plain, batch = deploy(model, example=images(2)), images(3)
    counted = [distribution(plain, [image]).mean for image in batch]
    assert set(counted) == {encoder.calibration.reached.item()}
    assert counted[0] == pytest.approx(goal, rel=0.1)
    at = plain.at(plain.points[0])
    assert torch.equal(at(batch)["segmentation"], plain(batch)["segmentation"])


def test_flattened_policies_refuse_images_of_another_size_before_a_training() -> None:
    encoder = build(block_policy="flatten", image_size=(32, 32)).encoder
    with pytest.raises(UserError, match=r"built for images of \[32, 32\], but those of this run have \[64, 96\]"):
        encoder.plan(ModelContext(SIZE, 0.0))
