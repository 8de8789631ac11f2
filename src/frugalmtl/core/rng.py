"""State of torch's random generators, to repeat the draws of a forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


class RngState:
    """The state of torch's generators at the moment of construction, to draw the same numbers again.

    Args:
        device: its generator counts beside the CPU's.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cpu: Tensor = torch.get_rng_state()
        self._cuda: Tensor | None = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Inside, the generators go on from that state; outside, they go on as if nothing had been drawn inside."""
        with torch.random.fork_rng([] if self._cuda is None else [self.device]):
            torch.set_rng_state(self._cpu)
            if self._cuda is not None:
                torch.cuda.set_rng_state(self._cuda, self.device)
            yield
