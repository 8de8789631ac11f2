"""EfficientNets, MobileNets V2 and MnasNets (Tan and Le, 2019; Sandler et al., 2018; Tan et al., 2019)."""

from __future__ import annotations

from frugalmtl.backbones.families.base import Family


class EfficientNet(Family):
    """The output of each stage from stride 4 on."""

    module, noun = "efficientnet", "an EfficientNet"
    tiny = "test_efficientnet"
