"""State of torch's random generators: the same draws again, or draws that nothing else notices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from frugalmtl.core.seeding import derive_seed


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


@contextlib.contextmanager
def drawn_apart(what: str) -> Iterator[None]:
    """Draws of the CPU's generator inside leave those outside as they would be without them.

    Networks that only some rows of a comparison have are built inside, so that all else begins with the same weights.

    Args:
        what: names the draws; with the seed that was set last it decides what is drawn.
    """
    generator = torch.default_generator
    with torch.random.fork_rng([]):
        generator.manual_seed(derive_seed(generator.initial_seed(), what))
        yield
