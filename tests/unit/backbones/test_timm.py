"""Facts of timm backbones: families, strides, dilation, blocks, refusals, published size and cost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones import BACKBONES, Backbone, tensors_of
from frugalmtl.backbones.families import FAMILIES
from frugalmtl.core.checks import UserError
from tests.support.backbones import tiny_backbone


def build(model: str, **config: object) -> Backbone:
    backbone: Backbone = BACKBONES.build({"name": "timm", "model": model, **config})
    return backbone


@pytest.fixture(scope="module", params=[*FAMILIES.names(), "tf_efficientnet_lite0", "mobilenetv2_100"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    torch.manual_seed(0)
    tiny = request.param in FAMILIES.names()
    return (tiny_backbone(request.param) if tiny else build(request.param)).eval()


def test_pyramid_has_the_declared_channels_and_strides(backbone: Backbone) -> None:
    levels = backbone(torch.randn(1, 3, 96, 64))
    assert [level.shape[1] for level in levels] == backbone.channels
    assert [tuple(level.shape[2:]) for level in levels] == [(96 // s, 64 // s) for s in backbone.strides]
    assert backbone.strides == [4, 8, 16, 32]
    assert backbone.size_divisor == 32


def test_every_parameter_gets_a_gradient_from_the_pyramid(backbone: Backbone) -> None:
    backbone.zero_grad(set_to_none=True)
    sum(level.square().mean() for level in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, parameter in backbone.named_parameters() if parameter.grad is None] == []


def test_blocks_are_what_runs_in_order(backbone: Backbone) -> None:
    height, width = 96, 64
    seen: list[tuple[str, list[Tensor]]] = []
    handles = [
        backbone.get_submodule(info.name).register_forward_hook(
            lambda _module, _inputs, output, name=info.name: seen.append((name, tensors_of(output)))
        )
        for info in backbone.blocks
    ]
    backbone(torch.randn(1, 3, height, width))
    for handle in handles:
        handle.remove()
    assert [name for name, _ in seen] == [info.name for info in backbone.blocks]
    for info, (_, tensors) in zip(backbone.blocks, seen, strict=True):
        assert tuple(tensor.shape[backbone.channel_axis] for tensor in tensors) == info.channels
        for tensor, stride in zip(tensors, info.strides, strict=True):
            size = tensor.shape[1:3] if backbone.channel_axis == -1 else tensor.shape[2:4]
            assert tuple(size) == (height // stride, width // stride)
    ends = [
        max((info for info in backbone.blocks if info.stage == stage), key=backbone.blocks.index) for stage in range(4)
    ]
    assert [info.channels for info in ends] == backbone.stage_channels
    assert len(list(backbone.stages)) == 4


def test_blocks_leave_their_input_unchanged(backbone: Backbone) -> None:
    state: Tensor | list[Tensor] = torch.randn(1, 3, 64, 64)
    for info in backbone.blocks:
        before = [tensor.clone() for tensor in tensors_of(state)]
        before_block = state if isinstance(state, Tensor) else list(state)
        state = backbone.get_submodule(info.name)(before_block)
        after = tensors_of(before_block)
        assert all(torch.equal(left, right) for left, right in zip(before, after, strict=True)), info.name


def test_pyramid_needs_only_the_declared_stages(backbone: Backbone) -> None:
    image, states, state = torch.randn(1, 3, 64, 64), {}, None
    for index, stage in enumerate(backbone.stages):
        state = stage(image if state is None else state)
        if index in backbone.pyramid_stages:
            states[index] = state
    for left, right in zip(backbone.pyramid(states), backbone(image), strict=True):
        assert torch.equal(left, right)


def convolutions(stage: nn.Module) -> list[nn.Conv2d]:
    return [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]


@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_dilation_of_resnets_at_output_stride_8(model: str) -> None:
    backbone = build(model, output_stride=8)
    assert backbone.strides == [4, 8, 8, 8]
    assert backbone.size_divisor == 8
    for stage, dilation in ((2, 2), (3, 4)):
        first, *rest = convolutions(backbone.stages[stage])
        assert (first.dilation, first.padding) == ((dilation // 2,) * 2, (dilation // 2,) * 2)
        assert {conv.dilation for conv in rest} == {(dilation, dilation)}
        assert {m.stride for m in backbone.stages[stage].modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}
    for stage in (0, 1):
        assert {conv.dilation for conv in convolutions(backbone.stages[stage])} == {(1, 1)}


def test_dilation_of_a_resnet_at_output_stride_16() -> None:
    backbone = build("resnet50", output_stride=16)
    assert backbone.strides == [4, 8, 16, 16]
    first, *rest = convolutions(backbone.stages[3])
    assert (first.dilation, {conv.dilation for conv in rest}) == ((1, 1), {(2, 2)})
    assert {conv.dilation for conv in convolutions(backbone.stages[2])} == {(1, 1)}


@pytest.mark.parametrize(
    ("model", "size", "stride", "millions", "gmac"),
    [("resnet50", (480, 640), 8, 23.5, 116.8), ("resnet18", (512, 512), 8, 11.2, 48.1)],
)
def test_published_size_and_cost(model: str, size: tuple[int, int], stride: int, millions: float, gmac: float) -> None:
    with torch.device("meta"):
        backbone = build(model, output_stride=stride).eval()
        with FlopCounterMode(display=False) as counter:
            backbone(torch.empty(1, 3, *size))
    assert sum(p.numel() for p in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.05)


@pytest.mark.parametrize(("model", "expansion"), [("resnet18", 1), ("resnet50", 4)])
def test_width_of_resnets(model: str, expansion: int) -> None:
    with torch.device("meta"):
        full, half = build(model), build(model, width=0.5)
        assert half.channels == [32 * expansion, 64 * expansion, 128 * expansion, 256 * expansion]
        assert half.channels == [channels // 2 for channels in full.channels]
        operations = []
        for stages in zip(full.stages, half.stages, strict=True):
            for stage, width in zip(stages, (1.0, 0.5), strict=True):
                first = next(stage.children())
                inputs = first.conv1.in_channels if hasattr(first, "conv1") else 3
                with FlopCounterMode(display=False) as counter:
                    stage(torch.empty(1, inputs, 32, 32))
                operations.append((counter.get_total_flops(), width))
    for (whole, _), (narrow, _) in zip(operations[2::2], operations[3::2], strict=True):
        assert narrow * 4 == whole


def test_stages_of_a_vision_transformer_are_its_grids_as_they_are() -> None:
    backbone = build("test_vit", pyramid="stages").eval()
    image = torch.randn(2, 3, 64, 96)
    grids, state = [], image
    for stage in backbone.stages:
        state = stage(state)
        grids.append(state)
    levels = backbone(image)
    assert backbone.strides == [16] * len(grids)
    assert backbone.pyramid_stages == tuple(range(len(grids)))
    assert backbone.channels == [width for (width,) in backbone.stage_channels]
    for level, grid in zip(levels, grids, strict=True):
        assert torch.equal(level, grid.permute(0, 3, 1, 2))
    assert backbone.neck is None
    sum(level.square().mean() for level in levels).backward()
    assert [name for name, parameter in backbone.named_parameters() if parameter.grad is None] == []


def test_stages_end_after_each_quarter_of_the_blocks() -> None:
    """Blocks 3, 6, 9 and 12, which DPT reads (Ranftl et al. 2021, section 4)."""
    with torch.device("meta"):
        backbone = build("vit_tiny_patch16_384", pyramid="stages")
    assert [len(list(stage)) for stage in backbone.stages] == [4, 3, 3, 3]  # the first begins with the patches


def test_levels_that_nobody_reads_are_left_out() -> None:
    backbone = build("test_vit").eval()
    image = torch.randn(1, 3, 64, 96)
    whole, size = backbone(image), len(list(backbone.parameters()))
    backbone.keep_levels((1, 3))
    kept = backbone(image)
    assert all(torch.equal(kept[level], whole[level]) for level in (1, 3))
    backbone.zero_grad(set_to_none=True)
    (kept[1].sum() + kept[3].sum()).backward()
    assert [name for name, parameter in backbone.named_parameters() if parameter.grad is None] == []
    assert len(list(backbone.parameters())) < size


def test_hrnet_gives_its_branches_as_they_are() -> None:
    backbone = build("hrnet_w18")
    assert backbone.channels == [18, 36, 72, 144]
    assert backbone.stage_channels == [(256,), (18, 36), (18, 36, 72), (18, 36, 72, 144)]
    assert backbone.pyramid_stages == (3,)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "resnet19"}, "did you mean resnet18"),
        ({"model": "no such thing"}, "unknown timm model"),
        ({"model": "resnet18.nobody"}, "cannot build"),
        ({"model": "resnet18", "output_stride": 4}, "output_stride must be 8 or 16"),
        ({"model": "hrnet_w18", "output_stride": 8}, "output_stride needs a ResNet, but got 8"),
        ({"model": "hrnet_w18", "width": 0.5}, "width needs a ResNet, but got 0.5"),
        ({"model": "resnet18", "width": 0.0}, "width must be above 0"),
        ({"model": "resnet18", "pyramid": "stages"}, "needs a Swin Transformer or a vision transformer, but got"),
        ({"model": "swin_tiny_patch4_window7_224", "pyramid": "simple"}, "unknown pyramid 'simple'"),
    ],
)
def test_refusals(config: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**config)  # type: ignore[arg-type]


def test_merged_pyramid_of_swin_is_read_after_the_merging_of_patches() -> None:
    plain, merged = tiny_backbone("swin_transformer"), tiny_backbone("swin_transformer", pyramid="merged")
    assert (plain.channels, plain.strides) == ([16, 32, 64, 128], [4, 8, 16, 32])
    assert (merged.channels, merged.strides) == ([32, 64, 128, 128], [8, 16, 32, 32])
    merged.load_state_dict(dict(zip(merged.state_dict(), plain.state_dict().values(), strict=True)))
    image = torch.randn(1, 3, 64, 96)
    first, second = plain.eval()(image), merged.eval()(image)
    torch.testing.assert_close(first[-1], second[-1])
    state = plain.stages[1][0](first[0].permute(0, 2, 3, 1))
    torch.testing.assert_close(second[0], state.permute(0, 3, 1, 2))
