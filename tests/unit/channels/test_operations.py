"""Operations for some of their channels, and the inputs that these need."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch
from timm.layers import LayerScale2d
from timm.layers.attention import Attention as TimmAttention
from timm.layers.attention2d import MultiQueryAttention2d
from timm.layers.blur_pool import BlurPool2d
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from timm.models.vision_transformer import LayerScale
from torch import Tensor, nn

from frugalmtl.backbones.views import SwinTokens, WindowGrid
from frugalmtl.channels.attention import AttentionChannels, WindowAttentionChannels
from frugalmtl.channels.operations import (
    AllChannels,
    ChannelScale,
    ChannelSlice,
    ChannelWise,
    Concat,
    Dense,
    Grouped,
    MultiQueryChannels,
    Operation,
    PatchEmbedding,
    Permute,
    Sum,
    parts_of,
)
from frugalmtl.channels.windows import MergePatches, Partition, merge_patches
from tests.support.channels import backbone, image, scramble


def drawn(generator: np.random.Generator, count: int) -> tuple[int, ...]:
    """Some channels in some order."""
    return tuple(int(index) for index in generator.permutation(count)[: generator.integers(1, count + 1)])


def pick(tensor: Tensor, channels: Sequence[int], axis: int) -> Tensor:
    return tensor.index_select(axis, torch.tensor(channels))


def without(tensor: Tensor, channels: Sequence[int], axis: int) -> Tensor:
    """Zeros but for some channels."""
    mask = torch.zeros(tensor.shape[axis])
    mask[list(channels)] = 1.0
    return tensor * mask.view([-1 if dim == axis % tensor.ndim else 1 for dim in range(tensor.ndim)])


def ready(module: nn.Module) -> nn.Module:
    scramble(module, 3)
    return module.double().eval()


CHANNEL_WISE = [
    (nn.BatchNorm2d(6), 1),
    (nn.BatchNorm2d(6, affine=False), 1),
    (BatchNormAct2d(6), 1),
    (nn.Conv2d(6, 6, 3, groups=6, padding=1), 1),
    (nn.Conv2d(6, 6, 3, groups=6, bias=False), 1),
    (LayerScale(6), -1),
    (LayerScale2d(6), 1),
    (BlurPool2d(6), 1),
    (nn.ReLU(), 1),
    (nn.MaxPool2d(2), 1),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("module", "axis"), CHANNEL_WISE, ids=lambda value: type(value).__name__)
def test_slices_of_operations_on_each_channel(module: nn.Module, axis: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    module = ready(deepcopy(module))
    features = torch.randn(2, 6, 8, 8).double() if axis == 1 else torch.randn(2, 8, 8, 6).double()
    channels = drawn(generator, 6)
    before = deepcopy(module.state_dict())
    result = ChannelWise("x").sliced(module, channels, channels).eval()
    with torch.no_grad():
        assert torch.allclose(
            result(pick(features, channels, axis)), pick(module(features), channels, axis), atol=1e-12
        )
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items()), "the source is kept"
    for name, parameter in result.named_parameters():
        assert parameter.shape[0] == len(channels), name
        assert isinstance(parameter, nn.Parameter)
    with pytest.raises(ValueError, match="channel-wise"):
        ChannelWise("x").sliced(module, (0, 1), (1, 0))


DENSE = [
    (nn.Conv2d(5, 7, 3, padding=1), 1),
    (nn.Conv2d(5, 7, 1, stride=2, bias=False), 1),
    (nn.ConvTranspose2d(5, 7, 2, stride=2), 1),
    (nn.Linear(5, 7), -1),
    (nn.Linear(5, 7, bias=False), -1),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("module", "axis"), DENSE, ids=lambda value: type(value).__name__)
def test_slices_of_dense_operations(module: nn.Module, axis: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    module = ready(deepcopy(module))
    features = torch.randn(2, 5, 6, 6).double() if axis == 1 else torch.randn(2, 6, 6, 5).double()
    outputs, inputs = drawn(generator, 7), drawn(generator, 5)
    result = Dense("x").sliced(module, outputs, inputs)
    with torch.no_grad():
        expected = pick(module(without(features, inputs, axis)), outputs, axis)
        assert torch.allclose(result(pick(features, inputs, axis)), expected, atol=1e-12)
    assert result.weight.numel() == len(outputs) * len(inputs) * module.weight[0, 0].numel()
    sizes = [value for name, value in vars(result).items() if name in ("in_channels", "in_features")]
    assert sizes == [len(inputs)], "what is printed is what is there"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_slices_of_grouped_convolutions(seed: int, bias: bool) -> None:
    generator = np.random.default_rng(seed)
    module = ready(nn.Conv2d(12, 8, 3, padding=1, groups=4, bias=bias))
    operation = Grouped("x", 4, 2)
    groups = drawn(generator, 4)
    outputs = tuple(group * 2 + offset for group in groups for offset in range(2))
    inputs = operation.inputs_of(outputs, 12)
    assert inputs == tuple(group * 3 + offset for group in groups for offset in range(3))
    features = torch.randn(2, 12, 6, 6).double()
    result = operation.sliced(module, outputs, inputs)
    with torch.no_grad():
        assert torch.allclose(result(pick(features, inputs, 1)), pick(module(features), outputs, 1), atol=1e-12)


ALL_CHANNELS = [
    (nn.LayerNorm(8), -1),
    (nn.LayerNorm(8, elementwise_affine=False), -1),
    (SqueezeExcite(8, rd_ratio=0.5), 1),
    (SEModule(8, rd_ratio=0.5), 1),
    (MultiQueryAttention2d(8, num_heads=2, key_dim=4, kv_stride=2, padding="same"), 1),
    (MultiQueryAttention2d(8, num_heads=2, query_strides=2, use_bias=True), 1),
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("module", "axis"), ALL_CHANNELS, ids=lambda value: type(value).__name__)
def test_slices_of_operations_over_all_channels(module: nn.Module, axis: int, seed: int) -> None:
    module = ready(deepcopy(module))
    order = tuple(int(index) for index in np.random.default_rng(seed).permutation(8))
    features = torch.randn(2, 8, 6, 4).double() if axis == 1 else torch.randn(2, 6, 4, 8).double()
    operation = MultiQueryChannels("x") if isinstance(module, MultiQueryAttention2d) else AllChannels("x")
    result = operation.sliced(module, order, order).eval()
    with torch.no_grad():
        assert torch.allclose(result(pick(features, order, axis)), pick(module(features), order, axis), atol=1e-12)
    for outputs, inputs in (((1, 2), (1, 2)), (order, order[::-1])):
        with pytest.raises(ValueError, match="all of them"):
            operation.sliced(module, outputs, inputs)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_slices_of_attention(qk_norm: bool) -> None:
    module = ready(TimmAttention(12, num_heads=3, qk_norm=qk_norm, norm_layer=nn.LayerNorm))
    operation = AttentionChannels("x", 3, 4)
    parts = [torch.randn(2, 3, 5, 12).double() for _ in range(3)]
    heads = (2, 0)
    channels = tuple(head * 4 + offset for head in heads for offset in range(4))
    result = operation.sliced(module, channels, channels)
    with torch.no_grad():
        whole = operation.run(module, *parts)
        assert torch.allclose(result(*(pick(part, channels, -1) for part in parts)), pick(whole, channels, -1))
        tokens = torch.randn(2, 15, 12).double()
        split = module.qkv(tokens).reshape(2, 3, 5, 36).split(12, -1)
        again = module.proj(module.norm(operation.run(module, *split))).reshape(2, 15, 12)
        assert torch.allclose(again, module(tokens)), "timm's own attention"


@pytest.mark.parametrize("shift", [(0, 0), (2, 1)])
@pytest.mark.parametrize("size", [(8, 12), (5, 7), (3, 3)])
def test_slices_of_attention_in_windows(size: tuple[int, int], shift: tuple[int, int]) -> None:
    block = SwinTransformerBlock(
        12, (16, 16), num_heads=3, window_size=4, shift_size=shift, always_partition=True, dynamic_mask=True
    )
    module = ready(block).attn
    windows = SwinTokens(block).windows
    operation, grid = WindowAttentionChannels("x", 3, 4, windows), torch.randn(2, *size, 12).double()
    parts = module.qkv(windows.partition(grid)).split(12, -1)
    heads = (2, 0)
    channels = tuple(head * 4 + offset for head in heads for offset in range(4))
    result = operation.sliced(module, channels, channels).eval()
    assert result.relative_position_bias_table.shape == (49, 2)
    with torch.no_grad():
        whole = operation.run(module, *parts)
        assert torch.allclose(result(*(pick(part, channels, -1) for part in parts)), pick(whole, channels, -1))
        again = windows.join(module.proj(whole), *size)
        assert torch.allclose(again, block._attn(grid)), "timm's own attention"


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_slices_of_the_embedding_of_patches(size: tuple[int, int]) -> None:
    network = deepcopy(backbone("vision_transformer")).eval()
    module = network.stages[0][0]
    with torch.no_grad():
        module.pos_embed.normal_()
    channels = (7, 3, 60, 0)
    result = PatchEmbedding("x").sliced(module, channels, (0, 1, 2)).eval()
    with torch.no_grad():
        assert torch.allclose(result(image(1, size)), pick(module(image(1, size)), channels, -1), atol=1e-5)


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_merged_patches_are_timms(size: tuple[int, int]) -> None:
    module, grid = ready(PatchMerging(6)), torch.randn(2, *size, 6).double()
    with torch.no_grad():
        assert torch.equal(module.reduction(module.norm(merge_patches(grid))), module(grid))
    assert MergePatches().outputs_of((4, 1), 6) == (4, 1, 10, 7, 16, 13, 22, 19)


# --- which inputs an output channel reads

READS: list[tuple[Operation, nn.Module | None, int, int, int]] = [
    (Dense("x"), nn.Conv2d(4, 6, 1), 4, 6, 1),
    (ChannelWise("x"), nn.Conv2d(6, 6, 3, groups=6, padding=1), 6, 6, 1),
    (Grouped("x", 2, 3), nn.Conv2d(4, 6, 1, groups=2), 4, 6, 1),
    (AllChannels("x"), nn.LayerNorm(6), 6, 6, -1),
    (ChannelSlice(2, 3), None, 8, 3, -1),
    (ChannelSlice(1, 4, 1), None, 6, 4, 1),
    (ChannelScale("x", "weight", 1), nn.LayerNorm(6), 6, 6, 1),
    (MultiQueryChannels("x"), MultiQueryAttention2d(6, num_heads=2, key_dim=4, kv_stride=2, padding="same"), 6, 6, 1),
    (Permute((0, 2, 3, 1)), None, 4, 4, 1),
    (MergePatches(), None, 3, 12, -1),
    (Partition(WindowGrid((2, 2), (1, 1))), None, 4, 4, -1),
]


@pytest.mark.parametrize("case", READS, ids=lambda case: type(case[0]).__name__)
def test_required_inputs_are_what_an_output_depends_on(case: tuple[Operation, nn.Module | None, int, int, int]) -> None:
    operation, module, inputs, outputs, axis = case
    module = None if module is None else ready(deepcopy(module))
    shape = (1, inputs, 3, 3) if axis == 1 else (1, 3, 3, inputs)
    features = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    output = operation.run(module, features)
    output_axis = -1 if isinstance(operation, Permute) else axis
    for channel in range(outputs):
        needed = np.zeros((1, outputs), dtype=bool)
        needed[0, channel] = True
        (gradient,) = torch.autograd.grad(
            output.select(output_axis, channel).square().sum(), features, retain_graph=True
        )
        read = gradient.abs().sum([dim for dim in range(4) if dim != axis % 4]) > 0
        assert operation.required_inputs(needed, [inputs])[0][0].tolist() == read.tolist()
    nothing = operation.required_inputs(np.zeros((1, outputs), dtype=bool), [inputs])[0]
    assert not nothing.any()


def test_required_inputs_of_sums_attention_and_concatenations() -> None:
    needed = np.array([[True, False, False, False], [False, False, False, True]])
    assert [mask.tolist() for mask in Concat(1).required_inputs(needed, [1, 3])] == [
        [[True], [False]],
        [[False, False, False], [False, False, True]],
    ]
    assert parts_of((3, 0, 2), [1, 3]) == [(0,), (2, 1)]
    assert all((mask == needed).all() for mask in Sum().required_inputs(needed, [4, 4]))
    heads = AttentionChannels("x", 2, 2).required_inputs(needed, [4, 4, 4])
    assert len(heads) == 3
    assert all(mask.tolist() == [[True, True, False, False], [False, False, True, True]] for mask in heads)
