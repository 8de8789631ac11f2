"""ConvNeXts (Liu et al., 2022)."""

from __future__ import annotations

from timm.models.convnext import ConvNeXtStage
from torch import nn

from frugalmtl.backbones.families.base import Family


class ConvNeXt(Family):
    """Four stages at strides 4 to 32."""

    module, noun = "convnext", "a ConvNeXt"
    tiny = "test_convnext"

    def parts(self, module: nn.Module) -> list[tuple[str, nn.Module]] | None:
        """A stage is its downsampling and its blocks."""
        if isinstance(module, ConvNeXtStage):
            return [("downsample", module.downsample), ("blocks", module.blocks)]
        return super().parts(module)
