"""How each family of timm models is cut into a chain of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.convnext import ConvNeXtStage
from timm.models.hrnet import HighResolutionNet
from timm.models.regnet import RegStage
from timm.models.swin_transformer import SwinTransformer, SwinTransformerStage
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from frugalmtl.core.checks import UserError


@dataclass
class Chain:
    """A model as a chain.

    Attributes:
        stages: the blocks of every stage.
        levels: ``(stage, index of the tensor in its state)`` of every level of the pyramid.
        channel_axis: see :class:`~frugalmtl.backbones.base.Backbone`.
        neck: makes the pyramid of the levels' tensors, where the model itself has none.
    """

    stages: list[list[nn.Module]]
    levels: list[tuple[int, int]]
    channel_axis: int = 1
    neck: nn.Module | None = None


def chain_of(model: nn.Module, pyramid: str = "simple") -> Chain:
    """Cut a timm model (with or without its head) into a chain; what no feature needs is left behind.

    Args:
        model: of one of the families.
        pyramid: levels of a vision transformer, see :class:`~frugalmtl.backbones.timm.Timm`.

    Raises:
        UserError: a vision transformer whose patches are not 8, 16 or 32 pixels wide.
    """
    if isinstance(model, HighResolutionNet):
        return _hrnet(model)
    if isinstance(model, VisionTransformer):
        return _vit(model, pyramid)
    return _features(model, channel_axis=-1 if isinstance(model, SwinTransformer) else 1)


# --- Models that are one chain of modules: ResNet, EfficientNet, ConvNeXt, RegNet, Swin, ... --------------------------


def _features(model: nn.Module, channel_axis: int) -> Chain:
    """Cut after each module that timm's ``feature_info`` names at stride 4 or more."""
    facts: Any = model.feature_info
    ends: list[str] = [fact["module"] for fact in facts if fact["reduction"] >= 4]
    stem, in_stem = nn.Sequential(), True
    body: list[tuple[str, nn.Module]] = []
    for name, child in model.named_children():
        in_stem = in_stem and not any(_inside(end, name) for end in ends)
        if in_stem:
            stem.add_module(name, child)
        else:
            body.extend(_blocks(name, child))
    stages: list[list[nn.Module]] = []
    start = 0
    for end in ends:
        stop = max(index for index, (name, _) in enumerate(body) if _inside(name, end)) + 1
        stages.append([block for _, block in body[start:stop]])
        start = stop
    stages[0].insert(0, stem)
    return Chain(stages, [(stage, 0) for stage in range(len(stages))], channel_axis)


def _inside(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _blocks(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The blocks that run one after the other inside ``module``: containers are opened, anything else is a block."""
    children: list[tuple[str, nn.Module]]
    if isinstance(module, (ConvNeXtStage, SwinTransformerStage)):
        children = [("downsample", module.downsample), ("blocks", module.blocks)]
    elif isinstance(module, (nn.Sequential, RegStage)):
        children = list(module.named_children())
    elif isinstance(module, nn.Identity):
        return
    else:
        yield name, module
        return
    for child_name, child in children:
        yield from _blocks(f"{name}.{child_name}", child)


# --- HRNet: the state is a list of tensors, one per resolution --------------------------------------------------------


class Transition(nn.Module):
    """HRNet between two stages: every branch goes on, and one or more start from the coarsest tensor.

    Args:
        paths: timm's module list; an identity passes the branch of its index through.
    """

    def __init__(self, paths: nn.ModuleList) -> None:
        super().__init__()
        self.paths = paths

    def forward(self, state: Tensor | list[Tensor]) -> list[Tensor]:
        """Tensor(s) ``[B, C_i, H/s_i, W/s_i]`` -> one more of them."""
        tensors = state if isinstance(state, list) else [state]
        return [
            tensors[index] if isinstance(path, nn.Identity) else path(tensors[-1])
            for index, path in enumerate(self.paths)
        ]


class Exchange(nn.Module):
    """One high-resolution module: residual blocks on each branch, then every branch hears all others.

    timm's module writes into the list that it is given; this one hands it a list of its own.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, state: list[Tensor]) -> list[Tensor]:
        """Tensors ``[B, C_i, H/s_i, W/s_i]`` -> tensors of the same sizes."""
        exchanged: list[Tensor] = self.module(list(state))
        return exchanged


def _hrnet(model: HighResolutionNet) -> Chain:
    stem = nn.Sequential(model.conv1, model.bn1, model.act1, model.conv2, model.bn2, model.act2)
    stages: list[list[nn.Module]] = [[stem, *model.layer1]]
    pairs = (model.transition1, model.stage2), (model.transition2, model.stage3), (model.transition3, model.stage4)
    stages += [[Transition(transition), *map(Exchange, modules)] for transition, modules in pairs]
    return Chain(stages, [(3, index) for index in range(4)])


# --- ViT: the state is a grid of tokens; the pyramid is made afterwards -----------------------------------------------


class PatchGrid(nn.Module):
    """Image -> grid of patch embeddings with their positions, for any image size (positions are resampled)."""

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.patch_embed = model.patch_embed
        self.pos_embed = model.pos_embed
        self.norm_pre = model.norm_pre

    def forward(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> ``[B, H/p, W/p, C]``."""
        grid: Tensor = self.patch_embed(image)
        if self.pos_embed is not None:
            height, width, channels = grid.shape[1:]
            old = self.patch_embed.grid_size
            positions = resample_abs_pos_embed(
                self.pos_embed, new_size=[height, width], old_size=list(old), num_prefix_tokens=0
            )
            grid = grid + positions.view(1, height, width, channels)
        normed: Tensor = self.norm_pre(grid)
        return normed


class GridBlock(nn.Module):
    """A transformer block on a grid of tokens instead of a sequence."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, grid: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, h, w, C]``."""
        tokens: Tensor = self.block(grid.flatten(1, 2))
        return tokens.view(grid.shape)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of ``[B, C, h, w]``."""

    def forward(self, input: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> the same shape."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SimplePyramid(nn.Module):
    """Levels at strides 4, 8, 16 and 32 from the last grid of a plain transformer.

    Source: Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection" (ECCV 2022), section 3: a
    finer level by transposed convolutions of stride 2 (each halves the channels; layer norm and GELU between two), a
    coarser one by max pooling. Two choices are ours: the convolutions to 256 channels that follow there are left out,
    since decoders here have their own; and the final norm comes first, since pre-trained transformers end in it.

    Args:
        norm: the model's final norm over the channels of ``[B, h, w, C]``.
        channels: C of the transformer.
        patch: pixels along one side of a patch: 8, 16 or 32.
    """

    def __init__(self, norm: nn.Module, channels: int, patch: int) -> None:
        super().__init__()
        self.norm = norm
        self.levels = nn.ModuleList()
        self.channels: list[int] = []
        for stride in (4, 8, 16, 32):
            layers: list[nn.Module] = []
            width, at = channels, patch
            while at > stride:
                if layers:
                    layers += [ChannelNorm(width), nn.GELU()]
                layers.append(nn.ConvTranspose2d(width, width // 2, kernel_size=2, stride=2))
                width, at = width // 2, at // 2
            if at < stride:
                layers.append(nn.MaxPool2d(stride // at))
            self.levels.append(nn.Sequential(*layers))
            self.channels.append(width)

    def forward(self, grid: Tensor) -> list[Tensor]:
        """``[B, H/p, W/p, C]`` -> levels ``[B, C_l, H/s_l, W/s_l]``."""
        features = self.norm(grid).permute(0, 3, 1, 2)
        return [level(features) for level in self.levels]


def _vit(model: VisionTransformer, pyramid: str) -> Chain:
    patch = model.patch_embed.patch_size
    if patch not in ((8, 8), (16, 16), (32, 32)):
        raise UserError(
            f"a vision transformer needs patches of 8, 16 or 32 pixels, but this one has {patch}: choose another"
        )
    blocks = [GridBlock(block) for block in model.blocks]
    count = min(4, len(blocks))
    cuts = [round(len(blocks) * index / count) for index in range(count + 1)]
    stages: list[list[nn.Module]] = [list(blocks[start:stop]) for start, stop in pairwise(cuts)]
    stages[0].insert(0, PatchGrid(model))
    if pyramid == "stages":
        return Chain(stages, [(stage, 0) for stage in range(count)], channel_axis=-1)
    neck = SimplePyramid(model.norm, model.embed_dim, patch[0])
    return Chain(stages, [(len(stages) - 1, 0)], channel_axis=-1, neck=neck)
