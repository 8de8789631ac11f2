"""What one forward pass calls and reads, observed and not guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass
class Call:
    """One call of a module: its first positional argument and its output, where these are single tensors."""

    argument: Tensor | None
    output: Tensor | None


@dataclass
class Observation:
    """One forward pass.

    Attributes:
        calls: ``{module: its calls in order}``; modules that were not called are missing.
        reads: how many operations read a tensor, by the tensor's ``id``. Parameters and buffers are among them.
        returned: ids of the tensors that the pass returned.
        alive: every observed tensor, held so that no ``id`` is reused.
    """

    calls: dict[nn.Module, list[Call]] = field(default_factory=dict)
    reads: Counter[int] = field(default_factory=Counter)
    returned: set[int] = field(default_factory=set)
    alive: list[Tensor] = field(default_factory=list)

    def feeds_only(self, source: nn.Module, sink: nn.Module) -> bool:
        """Whether both ran once, ``sink`` read what ``source`` gave, and nothing else did."""
        sources, sinks = self.calls.get(source, []), self.calls.get(sink, [])
        if len(sources) != 1 or len(sinks) != 1:
            return False
        given = sources[0].output
        return (
            given is not None
            and sinks[0].argument is given
            and self.reads[id(given)] == 1
            and id(given) not in self.returned
        )


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Counts, below autograd and below every functional call, which operation reads which tensor."""

    def __init__(self, observation: Observation) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.observation = observation

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        read = {id(leaf): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        self.observation.alive.extend(read.values())
        self.observation.reads.update(read.keys())
        result = func(*args, **(kwargs or {}))
        self.observation.alive.extend(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result


def observe(module: nn.Module, *inputs: Tensor) -> Observation:
    """Run ``module(*inputs)`` once without gradients and tell what happened. Leaves no hook behind."""
    observation = Observation()
    with _recorded_calls(module, observation), torch.no_grad(), _Reads(observation):
        result = module(*inputs)
    observation.returned = {id(leaf) for leaf in tree_leaves(result)}
    return observation


@contextmanager
def _recorded_calls(root: nn.Module, observation: Observation) -> Iterator[None]:
    def record(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        argument = arguments[0] if arguments and isinstance(arguments[0], Tensor) else None
        given = output if isinstance(output, Tensor) else None
        observation.alive.extend(tensor for tensor in (argument, given) if tensor is not None)
        observation.calls.setdefault(module, []).append(Call(argument, given))

    handles = [module.register_forward_hook(record) for module in root.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
