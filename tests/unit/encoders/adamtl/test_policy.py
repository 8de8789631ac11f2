"""Policies: their shapes, what stands in for networks, and pseudo-random logits that follow from pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.encoders.adamtl.chance import image_keys, uniform
from frugalmtl.encoders.adamtl.layout import GatedStage, gated_stages, token_halves
from frugalmtl.encoders.adamtl.options import DecisionOptions, ExecutionOptions, read_points
from frugalmtl.encoders.adamtl.policy import SURE, BlockPolicy, Policies
from frugalmtl.encoders.adamtl.windows import active_windows, spread, window_mean
from tests.support.backbones import tiny_backbone

STAGE = GatedStage(2, ("stages.2.1", "stages.2.2"), 8, 16, 3)
PLACES = torch.arange(24)[None]


def policies(source: str = "learned", skip: str = "both", unit: str = "token", **options: object) -> Policies:
    execution = ExecutionOptions(skip=skip, mask_unit=unit)  # type: ignore[arg-type]
    chosen = DecisionOptions(policy=source, hidden=4, **options)  # type: ignore[arg-type]
    return Policies((STAGE,), ("near", "far"), chosen, execution, (0.9, 0.3))


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 64, 96, generator=torch.Generator().manual_seed(seed))


def test_gated_stages_are_those_with_a_token_view() -> None:
    backbone = tiny_backbone("swin_transformer")
    stages = gated_stages(backbone)
    assert [stage.number for stage in stages] == [0, 1, 2, 3]
    assert [len(stage.blocks) for stage in stages] == [1, 2, 2, 2]
    assert [(stage.stride, stage.first) for stage in stages] == [(4, 0), (8, 1), (16, 3), (32, 5)]
    assert gated_stages(tiny_backbone("resnet")) == ()


def test_a_network_per_task_stage_and_kind() -> None:
    learned = policies()
    state = torch.randn(5, 4, 6, 8)
    assert learned.block_logits(STAGE, state, None).shape == (2, 5, 2)
    assert learned.token_logits("stages.2.2", state, None, PLACES).shape == (2, 5, 4, 6)
    assert learned.block_logits(STAGE, state, None, ("far",)).shape == (1, 5, 2)
    alone = learned.of(("far",))
    assert alone.groups(("far", "near")) == ("far",)
    torch.testing.assert_close(alone.block_logits(STAGE, state, None), learned.block_logits(STAGE, state, None)[1:])
    assert len(policies(token_net_per_block=True).nets["near"].tokens) == 2  # type: ignore[arg-type]
    assert policies(task_aware=False).groups(("far",)) == ("all",)
    assert list(policies(skip="blocks").nets["near"].tokens) == []  # type: ignore[call-overload]


def test_a_task_may_be_named_as_the_common_group() -> None:
    chosen, rules = DecisionOptions(hidden=4), ExecutionOptions()
    aware = Policies((STAGE,), ("all", "far"), chosen, rules, (0.9, 0.3))
    assert aware.groups(("all", "far")) == ("all", "far")
    assert aware.of(("far",)).groups(("all", "far")) == ("far",)
    agnostic = Policies((STAGE,), ("near", "far"), DecisionOptions(hidden=4, task_aware=False), rules, (0.9, 0.3))
    assert agnostic.groups(("near",)) == agnostic.of(("near",)).groups(("far",)) == ("all",)


def test_flattened_policies_take_one_size() -> None:
    net = policies(block_policy="flatten", image_size=(64, 96)).nets["near"].blocks["2"]  # type: ignore[index]
    assert isinstance(net, BlockPolicy)
    assert net.grid == (4, 6)
    tokens = torch.randn(3, 4, 6, 8)
    flat = torch.relu(tokens @ net.hidden.weight.T + net.hidden.bias).reshape(3, -1)
    torch.testing.assert_close(net(tokens), flat @ net.logits.weight.T + net.logits.bias)
    with pytest.raises(UserError, match="4 x 6 tokens, but got 4 x 5: give images of the size that"):
        net(torch.randn(3, 4, 5, 8))
    with pytest.raises(UserError, match="image_size"):
        DecisionOptions(block_policy="flatten")


@pytest.mark.parametrize("source", ["always_on", "static"])
def test_what_is_not_chosen_is_sure(source: str) -> None:
    fixed = Policies(
        (GatedStage(0, ("a", "b"), 8, 4, 0),), ("near",), DecisionOptions(policy=source), ExecutionOptions(), (1, 1)
    )  # type: ignore[arg-type]
    fixed.runs[1] = False
    logits = fixed.block_logits(fixed.stages[0], torch.zeros(2, 2, 2, 8), None)
    expected = [SURE, SURE if source == "always_on" else -SURE]
    assert logits.tolist() == [[expected] * 2]
    assert (fixed.token_logits("a", torch.zeros(2, 2, 2, 8), None, PLACES) == SURE).all()
    assert (policies(skip="tokens").block_logits(STAGE, torch.zeros(1, 2, 2, 8), None) == SURE).all()


def test_random_logits_follow_from_the_pixels_alone() -> None:
    image = images(4)
    keys = image_keys(image)
    assert len(set(keys.tolist())) == 4
    other = torch.cat([images(1, 9), image]).contiguous(memory_format=torch.channels_last)
    assert torch.equal(image_keys(other)[1:], keys)
    assert torch.equal(image_keys(image[2:3]), keys[2:3])


def test_random_numbers_are_uniform_and_independent() -> None:
    numbers = uniform(image_keys(images(400)), torch.arange(300))
    counts = torch.histc(numbers, 20, 0.0, 1.0)
    assert ((counts - 6000).square() / 6000).sum() < 60  # chi square of 19 degrees: 1e-5 lies at 57
    correlation = torch.corrcoef(numbers.T)[~torch.eye(300, dtype=torch.bool)]
    assert correlation.abs().max() < 6 / 400**0.5
    assert correlation.mean().abs() < 0.002
    assert (torch.corrcoef(numbers)[~torch.eye(400, dtype=torch.bool)]).std() == pytest.approx(300**-0.5, rel=0.05)


@pytest.mark.parametrize("unit", ["token", "window"])
def test_random_policies_are_on_as_often_as_wanted(unit: str) -> None:
    random = policies("random", unit=unit)
    state = torch.zeros(300, 16, 16, 8)
    keys = random.keys(images(300))
    view = token_halves(tiny_backbone("swin_transformer"), "stages.1.2")
    places = view.places(16, 16)
    logits = random.token_logits("stages.2.1", state, keys, places)
    assert (logits > 0).float().mean() == pytest.approx(0.3, abs=0.03)
    assert (random.block_logits(STAGE, state, keys) > 0).float().mean() == pytest.approx(0.9, abs=0.04)
    if unit == "window":
        on = (logits > 0)[0]
        assert torch.equal(spread(active_windows(on, places), places, (16, 16)), on)


def test_windows_leave_padding_out() -> None:
    view = token_halves(tiny_backbone("swin_transformer"), "stages.1.2")
    assert tuple(view.block.shift_size) != (0, 0)
    places = view.places(8, 12)
    values = torch.randn(2, 8, 12)
    means = window_mean(values, places)
    for number, row in enumerate(places):
        inside = row[row < 96]
        torch.testing.assert_close(means[:, number], values.flatten(1)[:, inside].mean(1))
        assert torch.equal(spread(means, places, (8, 12)).flatten(1)[:, inside], means[:, [number] * len(inside)])
    mask = torch.zeros(2, 8, 12, dtype=torch.bool)
    mask[1, 3, 7] = True
    assert active_windows(mask, places).sum(1).tolist() == [0, 1]


def test_points_are_mean_multiply_adds() -> None:
    assert list(read_points(("0.2x", "1.2G"), "learned")) == ["0.2x", "1.2G"]
    for points, source, message in (
        (("35ms",), "learned", "multiply-adds"),
        (("0.2x", "0.2x"), "learned", "twice"),
        (("0.2x",), "always_on", "one cost"),
        ((), "static", "got 0"),
    ):
        with pytest.raises(UserError, match=message):
            read_points(points, source)  # type: ignore[arg-type]
