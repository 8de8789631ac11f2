"""HRNets (Wang et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models import hrnet
from torch import Tensor, nn

from frugalmtl.backbones.families.base import Chain, Family


class HighResolutionNet(Family):
    """The four branches of the last stage as they are (``hrnet_w18``: 18, 36, 72 and 144 channels).

    The state is a list of tensors, one per resolution. The modules that widen branches for classification are left out.
    """

    module, noun = "hrnet", "an HRNet"
    arguments = {"head": ""}  # noqa: RUF012  # a ClassVar of the base
    tiny = "hrnet_w18_small"

    def chain(self, network: nn.Module, options: Mapping[str, Any]) -> Chain:
        """The stem with the first layer, then three transitions, each with the high-resolution modules behind it."""
        if not isinstance(network, hrnet.HighResolutionNet):
            raise TypeError(f"{type(network).__name__} is no HRNet")
        stem = nn.Sequential(network.conv1, network.bn1, network.act1, network.conv2, network.bn2, network.act2)
        stages: list[list[nn.Module]] = [[stem, *network.layer1]]
        pairs = (
            (network.transition1, network.stage2),
            (network.transition2, network.stage3),
            (network.transition3, network.stage4),
        )
        stages += [[Transition(transition), *map(Exchange, modules)] for transition, modules in pairs]
        return Chain(stages, [(3, index) for index in range(4)])


class Transition(nn.Module):
    """HRNet between two stages: every branch goes on, and one or more start from the coarsest tensor.

    Args:
        paths: timm's module list; an identity passes the branch of its index through.
    """

    def __init__(self, paths: nn.ModuleList) -> None:
        super().__init__()
        self.paths = paths

    def forward(self, state: Tensor | list[Tensor]) -> list[Tensor]:
        """Tensor(s) ``[B, C_i, H/s_i, W/s_i]`` -> one more of them."""
        tensors = state if isinstance(state, list) else [state]
        return [
            tensors[index] if isinstance(path, nn.Identity) else path(tensors[-1])
            for index, path in enumerate(self.paths)
        ]


class Exchange(nn.Module):
    """One high-resolution module: residual blocks on each branch, then every branch hears all others.

    timm's module writes into the list that it gets; this one hands it a copy of the list.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, state: list[Tensor]) -> list[Tensor]:
        """Tensors ``[B, C_i, H/s_i, W/s_i]`` -> tensors of the same sizes."""
        exchanged: list[Tensor] = self.module(list(state))
        return exchanged
