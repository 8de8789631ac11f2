"""CIFAR ResNet: residual networks of 6n + 2 layers for small images (He et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.backbones.base import Backbone, State, tensors_of
from frugalmtl.core.checks import UserError, known, positive
from frugalmtl.core.types import Pyramid


class CifarResNet(Backbone):
    """ResNet for images of 32 pixels: a 3x3 stem, three stages of n blocks, pyramid at strides 1, 2 and 4.

    Widths are 16, 32 and 64 channels; every block has two 3x3 convolutions, so that ``depth = 6 n + 2`` counts them,
    the stem and the classifier. With the head ``pooled`` at the last level it is the paper's network.

    Source: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), section 4.2; shortcuts that change
    shape are its option A (subsampled, missing channels zero) or B (1x1 convolution). Random weights as in its
    reference 13. The normalisation of the image is ImageNet's, our choice.

    Args:
        image_size: nothing depends on it.
        depth: layers: 8, 14, 20, 26, 32, 44, 56, 110, ...
        width: multiplier of the channels.
        shortcut: option ``"A"`` (as in the paper's results) or ``"B"``.

    Raises:
        UserError: ``depth`` is no ``6 n + 2``, ``width`` is not positive, unknown shortcut.
    """

    def __init__(
        self,
        image_size: tuple[int, int] | None = None,  # noqa: ARG002  # handed to every backbone
        *,
        depth: int = 20,
        width: float = 1.0,
        shortcut: Literal["A", "B"] = "A",
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise UserError(f"depth must be 6 n + 2 (8, 14, 20, 26, 32, ...), but got {depth}")
        known("shortcut", shortcut, ("A", "B"))
        widths = [max(1, round(channels * positive("width", width))) for channels in (16, 32, 64)]
        stages: list[list[nn.Module]] = [[Stem(widths[0])]]
        inputs = widths[0]
        for index, channels in enumerate(widths):
            if index:
                stages.append([])
            for number in range((depth - 2) // 6):
                stages[-1].append(Block(inputs, channels, 2 if index and not number else 1, shortcut))
                inputs = channels
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.pyramid_stages = (0, 1, 2)
        self.channel_axis = 1
        self.mean, self.std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        self._probe()

    def pyramid(self, states: Mapping[int, State]) -> Pyramid:
        """``{stage: its state}`` -> levels ``[B, C_l, H/s_l, W/s_l]``."""
        return [tensors_of(states[stage])[0] for stage in self.pyramid_stages]


class Stem(nn.Module):
    """3x3 convolution, batch normalisation, ReLU, at the resolution of the image."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> ``[B, C, H, W]``."""
        features: Tensor = self.relu(self.bn1(self.conv1(image)))
        return features


class Block(nn.Module):
    """``relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x))))))``.

    Args:
        inputs: input channels.
        outputs: output channels.
        stride: of the first convolution and the shortcut.
        shortcut: see :class:`CifarResNet`.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = (
                PaddedShortcut(inputs, outputs, stride)
                if shortcut == "A"
                else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
            )

    def forward(self, features: Tensor) -> Tensor:
        """``[B, inputs, h, w]`` -> ``[B, outputs, h/stride, w/stride]``."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(features)))))
        added: Tensor = self.relu(residual + self.downsample(features))
        return added


class PaddedShortcut(nn.Module):
    """Option A: every ``stride``-th position, and zeros for the channels that are missing.

    Channels are added half before and half after the existing ones (our choice; the paper does not say where).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        missing = outputs - inputs
        self.pad = (0, 0, 0, 0, missing // 2, missing - missing // 2)
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """``[B, inputs, h, w]`` -> ``[B, outputs, h/stride, w/stride]``."""
        return F.pad(features[:, :, :: self.stride, :: self.stride], self.pad)
