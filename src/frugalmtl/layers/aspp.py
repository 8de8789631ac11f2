"""Atrous spatial pyramid pooling, and its deployed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from frugalmtl.core.checks import UserError
from frugalmtl.layers.folding import folded, select_inputs


class AtrousPyramid(nn.Module):
    """ASPP of DeepLab-v3 (Chen et al. 2017, arXiv:1706.05587, sec. 3.3), torchvision's module.

    Parallel branches of ``width`` channels (1x1; 3x3 at each rate; global average pool + 1x1), all without bias and
    with batch normalisation and ReLU; concatenated; 1x1 to ``width``, batch normalisation, ReLU, dropout.
    ``[B, C, h, w]`` -> ``[B, width, h, w]``.

    Args:
        inputs: input channels.
        width: channels of every branch and of the output.
        rates: dilations of the 3x3 branches in positions.
        dropout: probability that an element of the output is dropped in training.
    """

    def __init__(self, inputs: int, width: int, rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.pyramid = ASPP(inputs, list(rates), width)
        self.pyramid.project[-1] = nn.Dropout(dropout)

    def forward(self, maps: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, width, h, w]``.

        Raises:
            UserError: one image in training mode; its pooled branch is one value per channel, without batch statistics.
        """
        if self.training and maps.shape[0] == 1:
            raise UserError("ASPP in training needs at least 2 images per batch, but got 1: raise the batch size")
        pooled: Tensor = self.pyramid(maps)
        return pooled

    def deploy(self) -> nn.Module:
        """The same output with less memory traffic (see :class:`DeployedAtrousPyramid`)."""
        *local, image = self.pyramid.convs
        project = folded(self.pyramid.project[0], self.pyramid.project[1])
        return DeployedAtrousPyramid(
            [folded(branch[0], branch[1]) for branch in local], folded(image[1], image[2]), project
        )


class DeployedAtrousPyramid(nn.Module):
    """Deployed :class:`AtrousPyramid`: normalisation folded, dropout gone, the pooled branch a bias per image.

    The pooled branch has the same value at every position, so its part of the projection is a vector per image that is
    added to the projected local branches; it is neither broadcast to a map nor concatenated.

    Dilated taps that meet only padding (rate above the map's size) are kept: which they are depends on the image size.
    """

    def __init__(self, local: Sequence[nn.Conv2d], image: nn.Conv2d, project: nn.Conv2d) -> None:
        super().__init__()
        split = project.in_channels - image.out_channels
        self.local = nn.ModuleList(local)
        self.image = image
        self.project_local = select_inputs(project, range(split), bias=False)
        self.project_image = select_inputs(project, range(split, project.in_channels), bias=True)

    def forward(self, maps: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, width, h, w]``."""
        image = F.relu(self.image(maps.mean(dim=(2, 3), keepdim=True)))
        local = torch.cat([F.relu(conv(maps), inplace=True) for conv in self.local], dim=1)
        projected: Tensor = self.project_local(local)
        projected += self.project_image(image)
        return F.relu(projected, inplace=True)
