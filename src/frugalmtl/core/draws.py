"""Several forward passes that draw the same dropout."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


class Draws:
    """The state of torch's generators at one moment, to draw the same again.

    Args:
        device: what is drawn on, beside the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cpu: Tensor = torch.get_rng_state()
        self._cuda: Tensor | None = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """What is inside draws what came after that moment; what comes behind it does not notice."""
        with torch.random.fork_rng([] if self._cuda is None else [self.device]):
            torch.set_rng_state(self._cpu)
            if self._cuda is not None:
                torch.cuda.set_rng_state(self._cuda, self.device)
            yield
