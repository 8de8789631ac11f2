"""Transfers between host and device that nobody waits for, unless the numbers are needed at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

import torch
from torch import Tensor

QUEUES = frozenset({"cuda"})
"""Types of devices whose copies to the host can be queued; others are waited for at once."""


class HostCopy:
    """Numbers on their way to the host.

    The copy is queued behind the work that makes the numbers, and the host goes on. :meth:`get` waits for it, which
    costs nothing once the host has waited for anything later (the engine does, in its check of every step).

    Args:
        tensors: on one device, of any shapes; they travel together, as float64.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._shapes = [tensor.shape for tensor in tensors]
        flat = torch.cat([tensor.detach().reshape(-1).to(widest(tensor.device)) for tensor in tensors])
        # A copy to the host that does not block ends in pinned memory.
        self._values = flat.to("cpu", non_blocking=flat.device.type in QUEUES)
        self._wait = mark(flat.device)

    def get(self) -> list[Tensor]:
        """The numbers in the shapes that they had, float64, on the CPU."""
        self._wait()
        pieces = torch.split(self._values.double(), [shape.numel() for shape in self._shapes])
        return [piece.view(shape) for piece, shape in zip(pieces, self._shapes, strict=True)]


def mark(device: torch.device) -> Callable[[], None]:
    """A function that waits until the device has done all that has been queued up to now."""
    if device.type not in QUEUES:
        return lambda: None
    reached: Callable[[], None] = torch.cuda.current_stream(device).record_event().synchronize
    return reached


class Pending(Mapping[str, float]):
    """A mapping that is made when it is first read.

    Args:
        make: gives the entries.
    """

    def __init__(self, make: Callable[[], dict[str, float]]) -> None:
        self._make = make

    @cached_property
    def _entries(self) -> dict[str, float]:
        return self._make()

    def __getitem__(self, name: str) -> float:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """Numbers ``[N]`` in the type and on the device of another tensor, which they travel to once; not to be changed."""
    return _constant(tuple(values), like.dtype, like.device)


def flags(names: Sequence[str], chosen: Collection[str], like: Tensor) -> Tensor:
    """Which of the names are chosen, bool ``[N]`` on the device of another tensor."""
    return constant([float(name in chosen) for name in names], like) != 0


@lru_cache(maxsize=256)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype).to(device)


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 on devices that have no wider numbers."""
    return torch.float32 if device.type == "mps" else torch.float64
