"""Check that the losses and the gradient of a training step are finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from frugalmtl.balancing import HostCopy
from frugalmtl.core.checks import UserError
from frugalmtl.engine.optimizers import OptimizerSet


class DivergenceError(UserError):
    """A loss or a gradient is infinite or not a number."""


@dataclass(frozen=True)
class _Pending:
    """Numbers of a step on their way to the host."""

    names: tuple[str, ...]
    numbers: HostCopy
    step: int
    samples: Sequence[str]


class FiniteCheck:
    """A guard around the updates of a training: none is made with numbers that are not finite.

    Either the host waits for the numbers before each update. Or, late, the device skips the update by itself (torch's
    fused optimisers read a flag for that), and the host, which has queued the work of the next step meanwhile, reads
    the numbers then. Both leave the weights and the optimiser as they were before the step.

    Args:
        optimizer: of the stage.
        late: let the host run ahead if the optimiser can skip on the device.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, late: bool = False) -> None:
        able = isinstance(optimizer, OptimizerSet) and optimizer.skips_on_device
        self._optimizer = optimizer if late and able and isinstance(optimizer, OptimizerSet) else None
        self._pending: _Pending | None = None

    @contextlib.contextmanager
    def guarded(self, values: Mapping[str, Tensor], step: int, samples: Sequence[str]) -> Iterator[None]:
        """Let the code inside update the parameters only if all values are finite.

        Args:
            values: ``{name in messages: scalar}``, e.g. the loss of each task and the norm of the gradient.
            step: optimiser steps before this one, of the whole run.
            samples: names of the samples in the step.

        Raises:
            DivergenceError: one of them is not, where the host waits; else :meth:`settle` raises it.
        """
        if self._optimizer is None or not values:
            require_finite(values, step, samples)
            yield
            return
        self.settle()
        numbers = _stacked(values)
        self._optimizer.found_inf = numbers.isfinite().all().logical_not().float()
        try:
            yield
        finally:
            self._optimizer.found_inf = None
        self._pending = _Pending(tuple(values), HostCopy([numbers]), step, samples)

    def settle(self) -> None:
        """Wait for the numbers of the last step, if the host ran ahead of them.

        Raises:
            DivergenceError: one of them is infinite or not a number; names it, the step and the samples.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return
        [numbers] = pending.numbers.get()
        _refuse(pending.names, numbers, pending.step, pending.samples)


def require_finite(values: Mapping[str, Tensor], step: int, samples: Sequence[str]) -> None:
    """Check scalars of one optimiser step; one synchronisation with the device.

    Args:
        values: see :meth:`FiniteCheck.guarded`, as are the others.
        step: optimiser steps before this one.
        samples: names of the samples in the step.

    Raises:
        DivergenceError: one of them is infinite or not a number; names it, the step and the samples.
    """
    if values:
        _refuse(tuple(values), _stacked(values).cpu(), step, samples)


def _stacked(values: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([value.detach().float() for value in values.values()])


def _refuse(names: Sequence[str], numbers: Tensor, step: int, samples: Sequence[str]) -> None:
    pairs = zip(names, numbers.tolist(), strict=True)
    bad = [f"{name} is {number}" for name, number in pairs if not math.isfinite(number)]
    if not bad:
        return
    shown = ", ".join(samples[:8]) + (f" and {len(samples) - 8} more" if len(samples) > 8 else "")
    raise DivergenceError(
        f"training stopped at step {step}: {'; '.join(bad)} (samples: {shown or 'unnamed'}). The weights and the last "
        "checkpoint are untouched: check these samples, lower lr, or set clip_norm"
    )
