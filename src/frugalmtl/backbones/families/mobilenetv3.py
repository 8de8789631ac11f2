"""MobileNets V3 and V4 (Howard et al., 2019; Qin et al., 2024)."""

from __future__ import annotations

from frugalmtl.backbones.families.base import Family


class MobileNetV3(Family):
    """The output of each stage from stride 4 on."""

    module, noun = "mobilenetv3", "a MobileNet"
    tiny = "mobilenetv3_small_050"
