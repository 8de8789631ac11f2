"""RegNets (Radosavovic et al., 2020)."""

from __future__ import annotations

from timm.models.regnet import RegStage
from torch import nn

from frugalmtl.backbones.families.base import Family


class RegNet(Family):
    """The output of each stage from stride 4 on."""

    module, noun = "regnet", "a RegNet"
    tiny = "regnetx_002"

    def parts(self, module: nn.Module) -> list[tuple[str, nn.Module]] | None:
        """A stage is its blocks."""
        return list(module.named_children()) if isinstance(module, RegStage) else super().parts(module)
