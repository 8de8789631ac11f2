"""ASPP: atrous spatial pyramid pooling (Chen et al., 2017), and its deployed form."""

from __future__ import annotations

from collections.abc import Sequence

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
            raise UserError(
                "ASPP in training needs at least 2 images per batch and process, but got 1: raise batch_size"
            )
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
    """Deployed :class:`AtrousPyramid`: normalisation folded, dropout gone, nothing concatenated.

    The projection of concatenated branches is the sum of their own projections: ``P cat_b(y_b) = sum_b P_b y_b``.
    The pooled branch has the same value at every position, so its term is a bias per image and never becomes a map.

    Dilated taps that meet only padding (rate above the map's size) are kept: which these are depends on the image.
    """

    def __init__(self, local: Sequence[nn.Conv2d], image: nn.Conv2d, project: nn.Conv2d) -> None:
        super().__init__()
        width = image.out_channels
        spans = [range(start, start + width) for start in range(0, project.in_channels, width)]
        self.local = nn.ModuleList(local)
        self.image = image
        self.project_local = nn.ModuleList(select_inputs(project, span, bias=False) for span in spans[:-1])
        self.project_image = select_inputs(project, spans[-1], bias=True)

    def forward(self, maps: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, width, h, w]``."""
        total: Tensor = self.project_image(F.relu(self.image(maps.mean(dim=(2, 3), keepdim=True))))
        for conv, project in zip(self.local, self.project_local, strict=True):
            total = project(F.relu(conv(maps), inplace=True)).add_(total)  # in place: bound by memory
        return F.relu(total, inplace=True)
