"""The DPT head: published size, the computation written out, any pyramid, what deploying saves."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones import BACKBONES
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads import HEADS, Head

VIT = ([24] * 4, [16] * 4)
CNN = ([6, 8, 12, 16], [4, 8, 16, 32])
PYRAMIDS = {
    "transformer": VIT,
    "patches of 8": ([24] * 4, [8] * 4),
    "patches of 32": ([24] * 4, [32] * 4),
    "cnn": CNN,
    "dilated cnn": ([6, 8, 12, 16], [4, 8, 8, 8]),
    "small images": ([4, 8, 16], [1, 2, 4]),
}


def build(shape: tuple[list[int], list[int]], outputs: int = 3, **config: Any) -> Head:
    head: Head = HEADS.build({"name": "dpt", "width": 8, **config}, *shape, outputs)
    return head


def pyramid_of(shape: tuple[list[int], list[int]], size: tuple[int, int]) -> Pyramid:
    return [torch.randn(2, c, size[0] // s, size[1] // s) for c, s in zip(*shape, strict=True)]


def macs(head: nn.Module, pyramid: Pyramid) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head(pyramid)
    return int(counter.get_total_flops()) // 2


def numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_size_is_that_of_dpt_large() -> None:
    """Ranftl et al. 2021, table 1: DPT-Large has 343 M parameters.

    Beside ViT-L/16 and the head these are the projections of the readout token on each of four levels, and a residual
    unit of the coarsest level that is never run.
    """
    width, inner = 1024, 256
    with torch.device("meta"):
        vit = timm.create_model("vit_large_patch16_384", num_classes=0)
        head = build(
            ([width] * 4, [16] * 4),
            outputs=1,
            width=inner,
            reassemble=[256, 512, 1024, 1024],
            output="stepped",
            norm=False,
        )
    readout = 4 * (2 * width * width + width)
    never_run = 2 * (9 * inner * inner + inner)
    assert round((numbers(vit) + numbers(head) + readout + never_run) / 1e6) == 343


def written_out(weights: dict[str, Tensor], pyramid: Pyramid) -> Tensor:
    """The stepped head without normalisation on four levels at stride 16, from its weights alone."""

    def conv(name: str, maps: Tensor, **how: int) -> Tensor:
        return F.conv2d(maps, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **how)

    def unit(name: str, maps: Tensor) -> Tensor:
        return maps + conv(f"{name}.conv2", conv(f"{name}.conv1", maps.relu(), padding=1).relu(), padding=1)

    def double(maps: Tensor) -> Tensor:
        return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)

    levels = [conv(f"levels.{index}.0", maps) for index, maps in enumerate(pyramid)]
    for index, factor in ((0, 4), (1, 2)):
        names = (f"levels.{index}.1.weight", f"levels.{index}.1.bias")
        levels[index] = F.conv_transpose2d(levels[index], *(weights[name] for name in names), stride=factor)
    levels[3] = conv("levels.3.1", levels[3], stride=2, padding=1)
    levels = [conv(f"levels.{index}.{2 - (index == 2)}", maps, padding=1) for index, maps in enumerate(levels)]
    fused = conv("steps.3.mix", double(unit("steps.3.units.0", levels[3])))
    for index in (2, 1, 0):
        fused = unit(f"steps.{index}.units.1", fused + unit(f"steps.{index}.units.0", levels[index]))
        fused = conv(f"steps.{index}.mix", double(fused))
    narrow = double(conv("out.narrow", fused, padding=1))
    return conv("out.out.2", conv("out.out.0", narrow, padding=1).relu())


@pytest.mark.parametrize("deployed", [False, True])
def test_output_is_the_computation_of_the_paper(deployed: bool) -> None:
    head = build(VIT, reassemble=[3, 5, 6, 7], output="stepped", norm=False).eval()
    pyramid = pyramid_of(VIT, (64, 96))
    plain = deepcopy(head).deploy() if deployed else head
    raw = plain(pyramid)
    assert raw.shape == (2, 3, 64, 96)
    torch.testing.assert_close(raw, written_out(dict(head.state_dict()), pyramid), rtol=0, atol=1e-5)


@pytest.mark.parametrize("output", ["flat", "stepped"])
@pytest.mark.parametrize("kind", PYRAMIDS)
def test_any_pyramid_is_read_out_at_the_declared_stride(
    kind: str, output: str, scramble_norms: Callable[[nn.Module], None]
) -> None:
    head = build(PYRAMIDS[kind], output=output)
    scramble_norms(head)
    head.eval()
    assert head.stride == {"flat": 2, "stepped": 1}[output]
    plain = deepcopy(head).deploy()
    assert not any(isinstance(module, (nn.BatchNorm2d, nn.Dropout)) for module in plain.modules())
    for size in ((64, 96), (96, 32)):  # a level at stride 16 has an odd side in neither, at 32 in both
        pyramid = pyramid_of(PYRAMIDS[kind], size)
        raw = head(pyramid)
        assert raw.shape == (2, 3, size[0] // head.stride, size[1] // head.stride)
        torch.testing.assert_close(plain(pyramid), raw, rtol=0, atol=1e-5)


def test_grids_of_odd_size() -> None:
    head = build(VIT).eval()
    pyramid = pyramid_of(VIT, (48, 80))
    raw = head(pyramid)
    assert raw.shape == (2, 3, 24, 40)
    torch.testing.assert_close(deepcopy(head).deploy()(pyramid), raw, rtol=0, atol=1e-5)


def test_deploying_mixes_channels_at_a_quarter_of_the_positions() -> None:
    head = build(CNN).eval()
    pyramid = pyramid_of(CNN, (64, 96))
    before, after = macs(head, pyramid), macs(deepcopy(head).deploy(), pyramid)
    positions = sum(2 * (64 // stride) * (96 // stride) for stride in (2, 4, 8, 16))
    assert before - after == 8 * 8 * positions * 3 // 4


def resampling(head: Head) -> list[list[str]]:
    return [[type(layer).__name__ for layer in level] for level in head.levels]  # type: ignore[union-attr]


def test_levels_are_only_resampled_where_they_must_be() -> None:
    assert resampling(build(CNN)) == [["Conv2d"]] * 4
    twice, up = ["Conv2d"] * 2, ["Conv2d", "ConvTranspose2d", "Conv2d"]
    assert resampling(build(VIT)) == [up, up, ["Conv2d"], [*twice, "Conv2d"]]
    assert resampling(build(VIT, reassemble=[4] * 4))[2] == twice
    assert [len(level) for level in resampling(build(PYRAMIDS["dilated cnn"]))] == [1, 1, 3, 4]


def test_default_channels_are_those_of_the_base_model_where_levels_are_upsampled() -> None:
    with torch.device("meta"):
        head = build(([768] * 4, [16] * 4), width=256)
    assert [level[-1].in_channels for level in head.levels] == [96, 192, 768, 768]  # type: ignore[index]


def test_on_a_plain_transformer() -> None:
    backbone = BACKBONES.build({"name": "timm", "model": "test_vit", "pyramid": "stages"}).eval()
    head = build((backbone.channels, backbone.strides)).eval()
    assert head(backbone(torch.randn(1, 3, 64, 96))).shape == (1, 3, 32, 48)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"width": 0}, "width must be above 0"),
        ({"width": 1}, "width must be 2 or more"),
        ({"dropout": 1.5}, "dropout must lie in"),
        ({"reassemble": [4, 4]}, r"one positive entry per level of the pyramid \(4\), got \[4, 4\]"),
        ({"reassemble": [4, 4, 0, 4]}, "one positive entry per level"),
        ({"output": "round"}, "output must be"),
    ],
)
def test_mistakes_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(VIT, **config)


def test_strides_must_be_powers_of_two() -> None:
    with pytest.raises(UserError, match=r"powers of two, but got \[14, 14\]"):
        build(([8, 8], [14, 14]))
