"""Compiled forward and backward passes of a training step (``torch.compile``)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.encoders import Encoder
from frugalmtl.engine.settings import Compile, TrainSettings
from frugalmtl.model import MultiTaskModel

TRIAL = "aot_eager"
"""Backend that traces forward and backward as the real one does, but generates no code."""


class CompiledParts:
    """The parts of a model that training steps run compiled: each of them one graph that goes back as a whole.

    Under a balancer that makes one loss these are the encoder up to the cut, what follows it, and the decoder. A
    balancer that takes the tasks' gradients apart would go back through a whole compiled decoder for every task: there
    the encoder up to the cut is compiled alone. Evaluations, measurements and further forward passes of balancers run
    the model as it is. Random numbers are those of the model that is not compiled.

    Args:
        model: stays as it is outside of :meth:`active`.
        balancer: says by its kind how far the graphs may reach.
        mode: of the settings.
        backend: of ``torch.compile``.
    """

    def __init__(self, model: MultiTaskModel, balancer: Balancer, mode: Compile, *, backend: str = "inductor") -> None:
        parts: list[tuple[nn.Module, str]] = [(model.encoder, "encode")]
        if not balancer.explicit_reduction:
            parts += [(model.encoder, "branch"), (model.decoder, "forward")]
        options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": mode == "reduce-overhead"}
        self._graphs = mode == "reduce-overhead"
        torch._dynamo.reset()  # else stages and rows of a comparison would share torch's limit of versions per function
        self._parts: list[tuple[nn.Module, str, Callable[..., Any]]] = [
            (
                owner,
                name,
                torch.compile(
                    getattr(owner, name),
                    dynamic=False,
                    backend=backend,
                    options=options if backend == "inductor" else None,
                ),
            )
            for owner, name in parts
        ]

    def begin_step(self) -> None:
        """Tell captured graphs that what the last step gave is no longer read."""
        if self._graphs:
            mark: Any = torch.compiler.cudagraph_mark_step_begin  # torch states no types
            mark()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Let the model run its compiled parts in the code inside."""
        for owner, name, compiled in self._parts:
            object.__setattr__(owner, name, compiled)
        try:
            # Balancers may go back more than once: buffers of the forward pass are not to be reused by the first time.
            with torch._functorch.config.patch(donated_buffer=False):
                yield
        finally:
            for owner, name, _ in self._parts:
                object.__delattr__(owner, name)


def check_compilable(model: MultiTaskModel, balancer: Balancer, settings: TrainSettings) -> None:
    """Check that a training can be compiled as its settings ask.

    Raises:
        UserError: several processes; an encoder that runs differently from step to step; or graphs would be captured of
            steps that go back more than once.
    """
    if settings.compile is False:
        return
    asked = f"compile: {str(settings.compile).lower()}"
    if settings.devices != 1:
        raise UserError(f"{asked} trains in one process, but devices is {settings.devices}: set compile to false")
    kind = type(model.encoder)
    if kind.enter_step is not Encoder.enter_step:
        raise UserError(
            f"{asked}: the encoder {kind.__name__} runs differently from step to step, and would be compiled each time "
            "anew: set compile to false"
        )
    if settings.compile != "reduce-overhead":
        return
    several = {
        f"the balancer {balancer.method} takes gradients task by task": balancer.explicit_reduction,
        "accumulate is above 1": settings.accumulate > 1,
        "interference_every is set": settings.interference_every > 0,
    }
    reasons = [reason for reason, holds in several.items() if holds]
    if reasons:
        raise UserError(f"{asked} needs steps that go forward and back once, but {reasons[0]}: take compile: true")


@contextlib.contextmanager
def refused(settings: TrainSettings) -> Iterator[None]:
    """Turn what torch cannot compile in a trial step into a user's mistake.

    Raises:
        UserError: the first line of torch's error, and what to do.
    """
    try:
        yield
    except UserError:
        raise
    except RuntimeError as error:
        if settings.compile is False:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"this training cannot be compiled: {reason}: set compile to false") from error
