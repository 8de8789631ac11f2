"""ResNets and ResNeXts (He et al., 2016; Xie et al., 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalmtl.backbones.families.base import Family
from frugalmtl.core.checks import UserError, positive

_WIDTHS = (64, 128, 256, 512)
"""Widths that timm gives the four stages (a bottleneck's output has 4 times as many channels)."""


class ResNet(Family):
    """Four stages at strides 4 to 32; later stages dilate at smaller output strides."""

    module, noun = "resnet", "a ResNet"
    options = ("output_stride", "width")
    tiny = "test_resnet"

    def constructor(self, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """With dilated stages, or stages of another width.

        Raises:
            UserError: an output stride other than 8 and 16, or a width that is not positive.
        """
        arguments = dict(self.arguments)
        if "output_stride" in options:
            stride = options["output_stride"]
            if stride not in (8, 16):
                raise UserError(f"output_stride must be 8 or 16, but got {stride} for {model!r}")
            arguments["output_stride"] = stride
        if "width" in options:
            width = positive("width", options["width"])
            arguments["channels"] = tuple(max(1, round(channels * width)) for channels in _WIDTHS)
        return arguments
