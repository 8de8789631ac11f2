"""Every registry, by the name of its room."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from frugalmtl.backbones import BACKBONES
from frugalmtl.balancing import BALANCERS
from frugalmtl.data import DATASETS
from frugalmtl.decoders import DECODERS
from frugalmtl.decoders.heads import HEADS
from frugalmtl.encoders import ENCODERS
from frugalmtl.evaluation import METRICS
from frugalmtl.export import EXPORTERS
from frugalmtl.losses import LOSSES
from frugalmtl.tasks import TASKS


class Room(Protocol):
    """What a room can tell of its members (see :class:`frugalmtl.core.registry.Registry`)."""

    def names(self) -> list[str]:
        """Names of all members."""
        ...

    def describe(self, name: str) -> str:
        """The first line of the member's docstring."""
        ...

    def get(self, name: str) -> Callable[..., Any]:
        """The class or function of that name."""
        ...

    def schema(self, name: str) -> dict[str, inspect.Parameter]:
        """The member's config keys."""
        ...


ROOMS: dict[str, Room] = {
    "tasks": TASKS,
    "data": DATASETS,
    "backbones": BACKBONES,
    "encoders": ENCODERS,
    "decoders": DECODERS,
    "heads": HEADS,
    "losses": LOSSES,
    "balancing": BALANCERS,
    "metrics": METRICS,
    "export": EXPORTERS,
}
