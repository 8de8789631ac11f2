"""Shares of what runs and their losses, by hand; weights of tokens; the steered factor."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from frugalmtl.encoders.adamtl.efficiency.cost import mlp_macs_per_token, weights_per_token
from frugalmtl.encoders.adamtl.efficiency.steering import LARGEST, RATE, Steering
from frugalmtl.encoders.adamtl.efficiency.usage import Usage
from frugalmtl.encoders.adamtl.layout import GatedStage, gated_stages
from frugalmtl.engine.stages.modes import still_statistics
from tests.support.backbones import tiny_backbone

FIRST, SECOND = GatedStage(0, ("a", "b"), 4, 4, 0), GatedStage(1, ("c",), 8, 8, 2)


def usage(dtype: torch.dtype = torch.float32) -> Usage:
    """Two images; image 0 runs a and c, image 1 all."""
    seen = Usage({"a": 1.0, "b": 1.0, "c": 3.0}, ("near", "far"))
    near = torch.tensor([[1, 0], [1, 1]], dtype=dtype)
    seen.add_blocks(near, torch.stack([near, torch.zeros_like(near)]))
    grid = torch.zeros(2, 2, 2, dtype=dtype)
    grid[:, 0] = 1
    for number in range(2):
        seen.add_tokens(FIRST, number, grid, torch.stack([grid, grid]))
    seen.add_blocks(torch.ones(2, 1, dtype=dtype), torch.ones(2, 2, 1))
    one = torch.ones(2, 1, 1, dtype=dtype)
    seen.add_tokens(SECOND, 0, one, torch.stack([one, torch.zeros_like(one)]))
    return seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_shares_of_an_image(dtype: torch.dtype) -> None:
    # tokens: 4 + 4 of weight 1, 1 of weight 3; those of b do not count where it is off
    expected = torch.tensor([[2 / 3, (2 + 0 + 3) / 11], [1.0, (2 + 2 + 3) / 11]])
    shares = usage(dtype).shares()
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares, expected)


def test_shares_of_groups_count_what_each_would_run_alone() -> None:
    statistics = {name: round(value.item(), 4) for name, value in usage().statistics().items()}
    assert statistics == {
        "blocks_on": round((2 / 3 + 1) / 2, 4),
        "tokens_on": round(6 / 11, 4),
        "blocks_on.near": round((2 / 3 + 1) / 2, 4),
        "tokens_on.near": round(6 / 11, 4),
        "blocks_on.far": round(1 / 3, 4),
        "tokens_on.far": 0.0,
    }


def test_counts_stay_exact_in_half_precision() -> None:
    seen = Usage({"a": 768.0, "b": 768.0}, ("all",))
    runs = torch.ones(1, 2, dtype=torch.float16)
    seen.add_blocks(runs, runs[None])
    for number in range(2):
        mask = torch.ones(1, 56, 56, dtype=torch.float16)
        seen.add_tokens(FIRST, number, mask, mask[None])
    assert seen.shares().tolist() == [[1.0, 1.0]]


def test_the_loss_is_the_mean_of_squared_errors_of_images() -> None:
    shares = torch.tensor([[0.5, 0.2], [1.0, 0.8]], requires_grad=True)
    losses = Steering((0.9, 0.5), active=False).penalties(shares)
    torch.testing.assert_close(losses, torch.tensor([(0.16 + 0.01) / 2, 0.09]))
    (gradient,) = torch.autograd.grad(losses.sum(), shares)
    torch.testing.assert_close(gradient, torch.tensor([[-0.4, -0.3], [0.1, 0.3]]))


def test_weights_of_tokens() -> None:
    backbone = tiny_backbone("swin_transformer")
    stages = gated_stages(backbone)
    widths = {block: stage.channels for stage in stages for block in stage.blocks}
    macs = mlp_macs_per_token(backbone, stages)
    assert macs == {block: 8 * width**2 for block, width in widths.items()}
    assert weights_per_token(widths, macs, "width") == widths
    assert set(weights_per_token(widths, macs, "none").values()) == {1.0}
    # a stage has a quarter of the tokens of the one before, and MLPs of the same cost
    sizes = {block: 64 * 96 // stage.stride**2 for stage in stages for block in stage.blocks}
    weights = weights_per_token(widths, macs, "macs")
    assert len({weights[block] * sizes[block] for block in widths}) == 1


def test_the_factor_grows_until_shares_meet_their_targets() -> None:
    steering = Steering((0.9, 0.5), active=True)
    shares = torch.tensor([[0.9, 0.8]])
    for _ in range(100):
        steering.observe(shares)
    blocks, tokens = steering.factor.tolist()
    assert blocks == 1.0
    assert 1.5 < tokens <= (1 + 2 * RATE) ** 100
    assert steering.achieved.tolist() == pytest.approx([0.9, 0.8], abs=0.01)
    resumed = Steering((0.9, 0.5), active=True)
    resumed.load_state_dict(steering.state_dict())
    for one in (steering, resumed):
        one.observe(shares)
    assert torch.equal(steering.factor, resumed.factor)
    for _ in range(1000):
        steering.observe(torch.tensor([[0.9, 0.5]]))
    assert steering.factor.tolist() == [1.0, 1.0]
    for _ in range(1000):
        steering.observe(torch.tensor([[0.0, 0.0]]))
    assert steering.factor.tolist() == [LARGEST, LARGEST]


def test_a_fixed_weight_stays() -> None:
    steering = Steering((0.9, 0.5), active=False)
    steering.observe(torch.zeros(2, 2))
    assert steering.factor.tolist() == [1.0, 1.0]


def test_passes_that_only_measure_leave_the_factor_alone() -> None:
    steering = Steering((0.5, 0.5), active=True).train()
    with still_statistics(nn.Sequential(steering)):
        steering.observe(torch.ones(4, 2))
        assert steering.achieved.tolist() > [0.5, 0.5]
    assert steering.achieved.tolist() == [0.5, 0.5]
    for _ in range(50):
        steering.observe(torch.ones(4, 2))
    moved = steering.factor.clone()
    assert moved.min() > 1.0
    with still_statistics(nn.Sequential(steering)):
        steering.observe(torch.ones(4, 2))
    assert torch.equal(steering.factor, moved)
