"""Independent heads: every task decodes by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from frugalmtl.core.checks import known
from frugalmtl.core.types import Auxiliary, Predictions, Pyramid
from frugalmtl.decoders.base import Decoder, final_names, resize
from frugalmtl.decoders.heads import HEADS, Head
from frugalmtl.tasks import Task


class Independent(Decoder):
    """One head per task; tasks do not see each other.

    Tasks without a map always get the head ``pooled``. Predictions of auxiliary tasks are trained like the others but
    come back under ``auxiliary["initial"]``, and a deployed decoder does not compute them.

    Args:
        channels: channels of the encoder's pyramid.
        strides: strides of the encoder's pyramid.
        tasks: what is predicted.
        head: head of every dense task: its name, or a mapping with a key ``name`` and its arguments.
        heads: other heads for single tasks, by task name.

    Raises:
        UserError: unknown head or argument, or ``heads`` names no dense task.
    """

    separable = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        tasks: Sequence[Task],
        *,
        head: Annotated[str | dict[str, Any], HEADS] = "hrnet",
        heads: dict[str, Annotated[str | dict[str, Any], HEADS]] | None = None,
    ) -> None:
        super().__init__()
        chosen = heads or {}
        for name in chosen:
            known("dense task in heads:", name, [task.name for task in tasks if task.dense])
        self.tasks = tuple(tasks)
        self.heads = nn.ModuleDict(
            {
                task.name: HEADS.build(
                    chosen.get(task.name, head) if task.dense else "pooled", channels, strides, task.channels
                )
                for task in tasks
            }
        )

    def forward(self, features: dict[str, Pyramid], size: tuple[int, int]) -> Predictions:
        """Features and the image's ``(H, W)`` -> predictions."""
        tasks = [task for task in self.tasks if task.name in features]
        raw = {task.name: resize(self.heads[task.name](features[task.name]), size) for task in tasks}
        final = {task.name: raw[task.name] for task in tasks if not task.auxiliary}
        helping = {task.name: raw[task.name] for task in tasks if task.auxiliary}
        return Predictions(final, {"initial": Auxiliary(helping)} if helping else {})

    def last_layers(self, task: str) -> list[list[nn.Module]]:
        """Those of the task's head."""
        head = self.heads[task]
        return [head.last_layers()] if isinstance(head, Head) else []

    def deploy(self, tasks: Collection[str] | None = None) -> nn.Module:
        """The deployed heads of the wanted tasks that are not auxiliary."""
        return DeployedHeads({name: self.heads[name] for name in final_names(self.tasks, tasks)})


class DeployedHeads(nn.Module):
    """Deployed form of heads that do not interact: ``({task: pyramid}, size) -> {task: raw prediction}``."""

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict()
        for name, head in heads.items():
            self.heads[name] = head.deploy() if isinstance(head, Head) else head

    def forward(self, features: dict[str, Pyramid], size: tuple[int, int]) -> dict[str, Tensor]:
        """Features and the image's ``(H, W)`` -> raw predictions, the dense ones at that size."""
        return {name: resize(head(features[name]), size) for name, head in self.heads.items()}
