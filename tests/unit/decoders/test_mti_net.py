"""MTI-Net: propagation from coarse to fine, deep supervision of every scale, and the pyramid in front."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders import DECODERS
from frugalmtl.decoders.mti_net import MTINet
from frugalmtl.layers.feature_pyramid import FeaturePyramid
from frugalmtl.layers.propagation import FeaturePropagation
from frugalmtl.tasks import TASKS, Task

CHANNELS, STRIDES = [4, 6, 8, 10], [4, 8, 16, 32]
SIZE = (64, 96)


def tasks() -> list[Task]:
    segmentation = TASKS.build({"name": "segmentation", "classes": ["a", "b", "c"]})
    return [segmentation, TASKS.build("depth"), replace(TASKS.build("edges"), auxiliary=True)]


def build(strides: list[int] = STRIDES, **options: Any) -> MTINet:
    torch.manual_seed(0)
    section = {"name": "mti_net", "head": {"name": "hrnet", "width": 8}, "reduction": 2, "pyramid_width": 8, **options}
    decoder: MTINet = DECODERS.build(section, CHANNELS[: len(strides)], strides, tasks())
    return decoder.eval()


def features(strides: list[int] = STRIDES, seed: int = 1) -> dict[str, Pyramid]:
    generator = torch.Generator().manual_seed(seed)

    def level(channels: int, stride: int) -> Tensor:
        return torch.randn(1, channels, SIZE[0] // stride, SIZE[1] // stride, generator=generator)

    return {task.name: [level(*pair) for pair in zip(CHANNELS, strides, strict=False)] for task in tasks()}


def test_every_scale_is_supervised_with_the_weight_of_the_task() -> None:
    predictions = build()(features(), SIZE)
    assert list(predictions.by_task) == ["segmentation", "depth"]
    assert list(predictions.auxiliary) == [f"scale {scale}" for scale in range(4)]
    for item in predictions.auxiliary.values():
        assert (item.loss, item.weight) == (None, 1.0)
        assert {name: tuple(raw.shape) for name, raw in item.by_task.items()} == {
            "segmentation": (1, 3, *SIZE),
            "depth": (1, 1, *SIZE),
            "edges": (1, 1, *SIZE),
        }


@pytest.mark.parametrize("changed", range(4))
def test_propagation_runs_from_coarse_to_fine(changed: int) -> None:
    """What a level holds reaches the initial predictions of its own scale and of all finer ones, of every task."""
    decoder, before = build(), features()
    after = {name: [*pyramid] for name, pyramid in before.items()}
    after["edges"][changed] = after["edges"][changed] + 1.0
    old, new = decoder(before, SIZE).auxiliary, decoder(after, SIZE).auxiliary

    def reached(task: str) -> list[int]:
        pairs = ((old[f"scale {scale}"].by_task[task], new[f"scale {scale}"].by_task[task]) for scale in range(4))
        return [scale for scale, (one, other) in enumerate(pairs) if not torch.equal(one, other)]

    assert reached("edges") == list(range(changed + 1))
    assert reached("depth") == list(range(changed))


def test_an_auxiliary_task_reaches_the_final_predictions() -> None:
    decoder, before = build(), features()
    after = before | {"edges": [level + 1.0 for level in before["edges"]]}
    assert not torch.equal(decoder(before, SIZE).by_task["depth"], decoder(after, SIZE).by_task["depth"])


def test_what_tasks_compete_for_sums_to_one() -> None:
    """With attention logits of 0 every task has an equal share, whichever channels compete."""
    torch.manual_seed(0)
    maps = {name: torch.randn(2, 6, 4, 4) for name in ("a", "b", "c")}
    for softmax in ("tasks", "adjacent"):
        module = FeaturePropagation(list(maps), 6, reduction=2, softmax=softmax).eval()
        seen: list[Tensor] = []
        module.shared.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        torch.nn.init.zeros_(module.attention[2].weight)
        torch.nn.init.zeros_(module.attention[2].bias)
        module(maps)
        torch.testing.assert_close(seen[0], torch.cat([*maps.values()], dim=1) / 3)


@pytest.mark.parametrize("softmax", ["tasks", "adjacent"])
def test_attention_by_its_definition(softmax: Any) -> None:
    torch.manual_seed(0)
    maps = {name: torch.randn(2, 6, 4, 4) for name in ("a", "b", "c")}
    module = FeaturePropagation(list(maps), 6, reduction=2, softmax=softmax).eval()
    joined = torch.cat([*maps.values()], dim=1)
    logits = module.attention(joined).exp()
    shares = torch.empty_like(logits)
    for channel in range(18):
        rivals = (
            [channel % 6 + 6 * task for task in range(3)]
            if softmax == "tasks"
            else range(channel // 3 * 3, channel // 3 * 3 + 3)
        )
        shares[:, channel] = logits[:, channel] / sum(logits[:, rival] for rival in rivals)
    shared = module.shared(shares * joined)
    for name, result in module(maps).items():
        torch.testing.assert_close(result, maps[name] + module.excitation[name](shared))


@pytest.mark.parametrize("strides", [[4, 8, 8, 8], [16], [1], [2, 4]])
def test_other_encoders_get_a_pyramid_in_front(strides: list[int]) -> None:
    decoder = build(strides)
    assert isinstance(decoder.pyramid, FeaturePyramid)
    maps = decoder.pyramid(features(strides)["depth"])
    assert [tuple(item.shape) for item in maps] == [(1, 8, SIZE[0] // s, SIZE[1] // s) for s in STRIDES]
    assert decoder(features(strides), SIZE).by_task["depth"].shape == (1, 1, *SIZE)


def test_scales_that_double_need_none() -> None:
    assert build().pyramid is None


def test_scales_read_the_deepest_level_that_is_fine_enough() -> None:
    """All levels of a dilated network but those of an equal stride before the deepest are read."""
    module = FeaturePyramid([4, 6, 8, 10], [4, 8, 8, 8], 8, STRIDES)
    assert module.levels == [0, 3, 3, 3]


@pytest.mark.parametrize("option", [{"reduction": 0}, {"pyramid_width": -1}, {"softmax": "channels"}])
def test_mistakes_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(option))):
        build(**option)
