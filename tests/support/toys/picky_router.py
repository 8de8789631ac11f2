"""Toy: a router that chooses by single pixels, and notes every image that its deployed form chooses for."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from frugalmtl.backbones.base import Pyramid
from frugalmtl.core.types import Decisions
from tests.support.toys import picky_router
from tests.support.toys.toy_router import Routed, ToyRouter

SEEN: list[Tensor] = []
"""Every batch of images that a deployed form chose for."""


class PickyRouter(ToyRouter):
    """As :class:`ToyRouter`, but the pixels of an image's first row say which blocks run."""

    def margins(
        self, image: Tensor, decisions: Decisions | None = None, tasks: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        return {"run": image[:, 0, 0, : len(self.gated)]}

    def deploy(self) -> nn.Module:
        return Picky(self)


class Picky(Routed):
    """Deployed form; while it is deployed it is told what to run, and so chooses for no image."""

    def forward(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Pyramid]:
        if decisions is None:
            picky_router.SEEN.append(image.clone())  # not this module's where the registry reads a copy of the file
            decisions = self.decide(image)
        return super().forward(image, decisions)

    def margins(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Tensor]:
        return {"run": image[:, 0, 0, : len(self.gated)]}
