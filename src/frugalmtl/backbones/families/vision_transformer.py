"""Vision Transformers (Dosovitskiy et al., 2021)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

from timm import list_models
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import vision_transformer as timm_vit
from torch import Tensor, nn

from frugalmtl.backbones.families._patches import PatchResize, power_of_two
from frugalmtl.backbones.families._sizes import ViTSizes, require_whole_heads
from frugalmtl.backbones.families.base import Chain, Family
from frugalmtl.core.checks import UserError, known

_PATCHES = (8, 16, 32)


class VisionTransformer(Family):
    """Four stages of equally many blocks (our choice); the state is a grid of tokens.

    DeiTs without a distillation token are among them. Class and register tokens are left out, and positions are
    resampled to the image. Where patches are no power of two wide, the image is resized first
    (:class:`~frugalmtl.backbones.families._patches.PatchResize`). The pyramid ``"simple"`` makes four levels of the
    last block, see :class:`SimplePyramid`; ``"stages"`` gives the four grids as they are.
    """

    module, noun = "vision_transformer", "a vision transformer"
    arguments = {  # noqa: RUF012  # a ClassVar of the base
        "dynamic_img_size": True,
        "class_token": False,
        "reg_tokens": 0,
        "global_pool": "avg",
        "fc_norm": False,
    }
    options = ("pyramid", "sizes")
    sizes = ViTSizes
    channel_axis = -1
    tiny = "test_vit"

    def models(self) -> list[str]:
        """Models that are built as plain vision transformers."""
        data_efficient = [name for name in list_models(module="deit") if "distilled" not in name]
        return sorted([*list_models(module=self.module), *data_efficient])

    def check_sizes(self, what: str, chosen: Mapping[str, Any], model: Any) -> None:
        """Heads that divide the width, and patches that the strides of a pyramid allow.

        Raises:
            UserError: they do not.
        """
        patch = chosen.get("patch_size", 16)
        if patch not in _PATCHES:
            raise UserError(f"{what}: patch_size must be 8, 16 or 32, but got {patch}")
        heads = chosen.get("num_heads", model.blocks[0].attn.num_heads)
        require_whole_heads(what, [chosen.get("embed_dim", model.embed_dim)], [heads])

    def chain(self, network: nn.Module, options: Mapping[str, Any]) -> Chain:
        """Patches and blocks on grids, cut into four stages.

        Raises:
            UserError: an unknown pyramid.
        """
        if not isinstance(network, timm_vit.VisionTransformer):
            raise TypeError(f"{type(network).__name__} is no vision transformer")
        pyramid = known("pyramid", options.get("pyramid", "simple"), ("simple", "stages"))
        patch = network.patch_embed.patch_size
        stride = power_of_two(min(patch))
        blocks = [GridBlock(block) for block in network.blocks]
        count = min(4, len(blocks))
        cuts = [round(len(blocks) * index / count) for index in range(count + 1)]
        stages: list[list[nn.Module]] = [list(blocks[start:stop]) for start, stop in pairwise(cuts)]
        stages[0].insert(0, PatchGrid(network))
        if patch != (stride, stride):
            stages[0].insert(0, PatchResize(patch, stride))
        if pyramid == "stages":
            return Chain(stages, [(stage, 0) for stage in range(count)], self.channel_axis)
        neck = SimplePyramid(network.norm, network.embed_dim, stride)
        return Chain(stages, [(len(stages) - 1, 0)], self.channel_axis, neck)

    def renamed(self, tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
        """Models with class tokens or a pooled norm call the norm otherwise, and have more positions."""
        renamed, expected = dict(tensors), network.state_dict()
        for key in ("weight", "bias"):
            if f"fc_norm.{key}" in renamed and f"norm.{key}" not in renamed:
                renamed[f"norm.{key}"] = renamed.pop(f"fc_norm.{key}")
        positions = renamed.get("pos_embed")
        if positions is not None and "pos_embed" in expected:
            surplus = positions.shape[1] - expected["pos_embed"].shape[1]
            renamed["pos_embed"] = positions[:, max(0, surplus) :]
        return renamed


class PatchGrid(nn.Module):
    """Image -> grid of patch embeddings with their positions, for any image size (positions are resampled)."""

    def __init__(self, model: timm_vit.VisionTransformer) -> None:
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
        patch: pixels of the image along one side of a patch: a power of two.
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

    def keep_levels(self, levels: Collection[int]) -> None:
        """Leave out the layers of all other levels; in place."""
        for index in set(range(len(self.levels))) - set(levels):
            self.levels[index] = nn.Identity()
