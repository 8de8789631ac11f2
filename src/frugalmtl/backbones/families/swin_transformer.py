"""Swin Transformers (Liu et al., 2021)."""

from __future__ import annotations

from timm.models.swin_transformer import SwinTransformerStage
from torch import nn

from frugalmtl.backbones.families.base import Family


class SwinTransformer(Family):
    """The output of each stage without a norm, for images of any size.

    Windows are padded. Whether a stage shifts its windows stays as at the size of the pre-training.
    """

    module, noun = "swin_transformer", "a Swin Transformer"
    arguments = {"strict_img_size": False}  # noqa: RUF012  # a ClassVar of the base
    channel_axis = -1
    tiny = "swin_tiny_patch4_window7_224"
    tiny_arguments = {"embed_dim": 16, "depths": (1, 2, 2, 2), "num_heads": (1, 2, 4, 8)}  # noqa: RUF012

    def parts(self, module: nn.Module) -> list[tuple[str, nn.Module]] | None:
        """A stage is its downsampling and its blocks."""
        if isinstance(module, SwinTransformerStage):
            return [("downsample", module.downsample), ("blocks", module.blocks)]
        return super().parts(module)
