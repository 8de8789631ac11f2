"""Decoders as published: parameters, operations, who gets a prediction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders import DECODERS, Decoder
from frugalmtl.decoders._features import once_per_pyramid
from frugalmtl.decoders.heads import HEADS
from frugalmtl.tasks import Task
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.segmentation import segmentation

HRNET_18 = ([18, 36, 72, 144], [4, 8, 16, 32])
RESNET_50_DILATED = ([256, 512, 1024, 2048], [4, 8, 8, 8])


def dense_tasks(*channels: int) -> list[Task]:
    first = segmentation(classes=("wall", "floor"))
    return [replace(first, name=f"task{index}", channels=count) for index, count in enumerate(channels)]


def features_of(tasks: list[Task], shape: tuple[list[int], list[int]], size: tuple[int, int]) -> dict[str, Pyramid]:
    pyramid = [torch.empty(1, c, size[0] // s, size[1] // s) for c, s in zip(*shape, strict=True)]
    return {task.name: pyramid for task in tasks}


def giga_macs(decoder: Any, tasks: list[Task], shape: tuple[list[int], list[int]], size: tuple[int, int]) -> float:
    """Multiply-adds on one image, in 10^9."""
    with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
        decoder(features_of(tasks, shape, size), size)
    return float(counter.get_total_flops()) / 2e9


def build(section: Any, shape: tuple[list[int], list[int]], tasks: list[Task]) -> Decoder:
    decoder: Decoder = DECODERS.build(section, *shape, tasks)
    return decoder.eval()


def millions(module: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize(("channels", "published"), [(2048, 16.1), (512, 4.7)])
def test_aspp_head_has_the_published_parameters(channels: int, published: float) -> None:
    """Vandenhende et al. 2021, table V: 16.1 M per task on ResNet-50, 4.7 M on ResNet-18."""
    with torch.device("meta"):
        head = HEADS.build("aspp", [channels], [8], 21)
    assert round(millions(head), 1) == published


def test_aspp_head_has_the_published_operations() -> None:
    """Table V, NYUD with ResNet-50 at 480 x 640, in the paper's G of 2 multiply-adds: 133 with a shared trunk.

    Two single-task networks are 192, so a trunk is 59 (58.4 counted); that leaves 74.9 for two heads.
    """
    tasks = dense_tasks(40, 1)
    with torch.device("meta"):
        decoder = build({"name": "independent", "head": "aspp"}, RESNET_50_DILATED, tasks)
    assert giga_macs(decoder, tasks, RESNET_50_DILATED, (480, 640)) / 2 == pytest.approx(133.3 - 58.4, abs=0.1)


def test_pad_net_has_the_published_size() -> None:
    """The survey's code, five tasks at 512 x 512 on HRNet-W18-small: 29.30 M and 424.9 G multiply-adds with the trunk.

    The trunk has 3.86 M and 8.33 G. Table V prints 29 M and 212 G, with 2 multiply-adds as the unit.
    """
    tasks = dense_tasks(21, 7, 3, 1, 1)
    with torch.device("meta"):
        decoder = build("pad_net", HRNET_18, tasks)
    assert millions(decoder) == pytest.approx(29.30 - 3.86, abs=0.01)
    assert giga_macs(decoder, tasks, HRNET_18, (512, 512)) == pytest.approx(424.90 - 8.33, abs=0.02)


def test_deployed_hrnet_heads_take_a_fraction_of_the_operations() -> None:
    tasks = dense_tasks(40, 1)
    trained = build("independent", HRNET_18, tasks)
    before = giga_macs(trained.to("meta"), tasks, HRNET_18, (480, 640))
    plain = build("independent", HRNET_18, tasks).deploy().to("meta")
    after = giga_macs(plain, tasks, HRNET_18, (480, 640))
    positions = 120 * 160
    fused = sum(c * 270 * positions / (s // 4) ** 2 for c, s in zip(*HRNET_18, strict=True))
    assert after == pytest.approx((2 * fused + 270 * 41 * positions) / 1e9)
    assert after < 0.25 * before


def test_heads_of_single_tasks_can_be_chosen() -> None:
    tasks = [*dense_tasks(3, 2), classification(classes=("plant", "lamp"))]
    decoder = build({"name": "independent", "head": "linear", "heads": {"task1": "hrnet"}}, HRNET_18, tasks)
    assert [type(head).__name__ for head in decoder.heads.values()] == ["Linear", "HRNet", "Pooled"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "independent", "head": "hrnt"}, "unknown head 'hrnt'.*Did you mean 'hrnet'"),
        ({"name": "independent", "head": {"name": "hrnet", "widht": 3}}, "argument of head 'hrnet'.*'widht'"),
        ({"name": "independent", "heads": {"other": "linear"}}, "unknown dense task in heads: 'other'"),
        ({"name": "independent", "head": {"name": "hrnet", "width": 0}}, "width must be above 0, but got 0"),
        ({"name": "independent", "head": {"name": "aspp", "rates": [0, 2]}}, "each of rates must be above 0"),
        ({"name": "independent", "head": {"name": "aspp", "dropout": 2.0}}, "dropout must lie in"),
        ({"name": "pad_net", "width": 18}, "must be a multiple of 4, but got 18"),
    ],
)
def test_mistakes_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DECODERS.build(section, *HRNET_18, dense_tasks(2, 1))


def test_auxiliary_tasks_help_pad_net_but_have_no_final_prediction() -> None:
    main, helper = dense_tasks(3, 1)
    tasks = [main, replace(helper, auxiliary=True)]
    decoder = build({"name": "pad_net", "width": 8, "fuse_width": 8}, HRNET_18, tasks)
    generator = torch.Generator().manual_seed(0)
    features = {
        task.name: [torch.randn(1, c, 64 // s, 64 // s, generator=generator) for c, s in zip(*HRNET_18, strict=True)]
        for task in tasks
    }
    before = decoder(features, (64, 64))
    assert list(before.by_task) == ["task0"]
    assert list(before.auxiliary["initial"].by_task) == ["task0", "task1"]
    features["task1"] = [level + 1 for level in features["task1"]]
    assert not torch.equal(decoder(features, (64, 64)).by_task["task0"], before.by_task["task0"])


def test_pad_net_can_work_on_the_coarsest_level_alone() -> None:
    tasks = dense_tasks(3, 2)
    decoder = build({"name": "pad_net", "width": 8, "fuse": False}, RESNET_50_DILATED, tasks)
    assert decoder.features["task0"][0].conv1.in_channels == 2048


def test_shared_pyramids_are_worked_on_once() -> None:
    calls: list[Pyramid] = []

    class Count(torch.nn.Module):
        def forward(self, pyramid: Pyramid) -> torch.Tensor:
            calls.append(pyramid)
            return pyramid[0] * 2

    shared, other = [torch.ones(1)], [torch.ones(1)]
    results = once_per_pyramid(Count(), {"a": shared, "b": other, "c": list(shared)}, ["a", "b", "c"])
    assert len(calls) == 2
    assert results["a"] is results["c"]
    assert results["a"] is not results["b"]
