"""Interface of a head: a raw prediction at the resolution of its features."""

from __future__ import annotations

from torch import Tensor, nn

from frugalmtl.core.types import Pyramid


class Head(nn.Module):
    """Pyramid -> raw prediction of one task.

    Constructors take ``(channels, strides, outputs)`` positionally (of the pyramid, and the channels of the prediction)
    and their config as keyword-only arguments.

    Attributes:
        dense: the prediction is a map ``[B, outputs, h, w]`` at feature resolution (True) or ``[B, outputs]`` (False).
        stride: image pixels per position of the map along one axis.
    """

    dense: bool = True
    stride: int

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Levels ``[B, C_l, H/s_l, W/s_l]``, finest first -> ``[B, outputs, h, w]`` or ``[B, outputs]``."""
        raise NotImplementedError

    def last_layers(self) -> list[nn.Module]:
        """The layers whose sum is the prediction, as trained; by default the last of ``out``, if the head has it."""
        layers = [module for module in getattr(self, "out", nn.Identity()).modules() if hasattr(module, "bias")]
        return layers[-1:]

    def deploy(self) -> nn.Module:
        """The cheapest plain module with the same output in eval mode. Called on a copy in eval mode."""
        return self
