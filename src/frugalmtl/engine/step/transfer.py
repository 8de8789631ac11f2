"""Batches on their way to the device while it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from frugalmtl.core.types import Batch

Groups = Iterator[list[Batch]]


def transferred(groups: Groups, move: Callable[[Sequence[Batch]], list[Batch]], device: torch.device) -> Groups:
    """The batches of every step on the device; on a GPU those of the next step are copied while this one is computed.

    Args:
        groups: the batches of every step, in page-locked memory to be copied beside the computation.
        move: copies the batches of a step to the device.
        device: elsewhere than on a GPU nothing happens before it is asked for.
    """
    if device.type != "cuda":
        yield from groups
        return
    stream: Any = torch.cuda.Stream  # torch states no types
    copies = stream(device)

    def fetch() -> list[Batch] | None:
        group = next(groups, None)
        if group is None:
            return None
        with torch.cuda.stream(copies):
            return move(group)

    upcoming = fetch()
    while upcoming is not None:
        ready, computing = upcoming, torch.cuda.current_stream(device)
        computing.wait_stream(copies)
        for batch in ready:
            for tensor in (batch.image, *batch.targets.values(), *batch.valid.values()):
                tensor.record_stream(computing)  # else its memory could be given to the next copy too early
        upcoming = fetch()
        yield ready
