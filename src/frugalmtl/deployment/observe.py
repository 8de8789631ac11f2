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
    """One call of a module: its first positional argument if that is a tensor, and its output, whatever it is."""

    argument: Tensor | None
    output: Any


@dataclass
class Operation:
    """One operation on tensors.

    Attributes:
        reads: ids of the tensors it took.
        sources: the storages of these.
        results: the storages of what it gave; an operation in place gives one that it took.
        inside: the modules that were running, outermost first.
    """

    reads: set[int]
    sources: set[int]
    results: set[int]
    inside: tuple[nn.Module, ...]


@dataclass
class Observation:
    """One forward pass.

    Attributes:
        calls: ``{module: its calls in order}``; modules that were not called are missing.
        operations: all operations in order.
        reads: how many operations read a tensor, by the tensor's ``id``. Parameters and buffers are among them.
        returned: the tensors that the pass returned.
        alive: every observed tensor, held so that no ``id`` is reused.
    """

    calls: dict[nn.Module, list[Call]] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    reads: Counter[int] = field(default_factory=Counter)
    returned: list[Tensor] = field(default_factory=list)
    alive: list[Tensor] = field(default_factory=list)

    def feeds_only(self, source: nn.Module, sink: nn.Module) -> bool:
        """Whether both ran once, ``sink`` read what ``source`` gave, and nothing else did."""
        sources, sinks = self.calls.get(source, []), self.calls.get(sink, [])
        if len(sources) != 1 or len(sinks) != 1:
            return False
        given = sources[0].output
        return (
            isinstance(given, Tensor)
            and sinks[0].argument is given
            and self.reads[id(given)] == 1
            and not any(given is tensor for tensor in self.returned)
        )

    def dead_operations(self) -> list[Operation]:
        """Operations that nothing returned depends on.

        Found backwards over storages and not tensors, so that writing through a view counts as writing to its base.
        """
        needed = {_storage(tensor) for tensor in self.returned}
        dead: list[Operation] = []
        for operation in reversed(self.operations):
            if operation.results & needed:
                needed |= operation.sources
            else:
                dead.append(operation)
        return dead


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def observe(module: nn.Module, *inputs: Tensor) -> Observation:
    """Run ``module(*inputs)`` once without gradients and tell what happened. Leaves no hook behind."""
    observation = Observation()
    running: list[nn.Module] = []
    with _recorded_calls(module, observation, running), torch.no_grad(), _Operations(observation, running):
        observation.returned = tensors_in(module(*inputs))
    return observation


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Records, below autograd and below every functional call, which operation reads which tensor."""

    def __init__(self, observation: Observation, running: list[nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.observation = observation
        self.running = running

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        taken = {id(tensor): tensor for tensor in tensors_in((args, kwargs))}
        sources = {_storage(tensor) for tensor in taken.values()}
        result = func(*args, **(kwargs or {}))
        given = tensors_in(result)
        self.observation.alive += [*taken.values(), *given]
        self.observation.reads.update(taken.keys())
        operation = Operation(set(taken), sources, {_storage(tensor) for tensor in given}, tuple(self.running))
        self.observation.operations.append(operation)
        return result


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


@contextmanager
def _recorded_calls(root: nn.Module, observation: Observation, running: list[nn.Module]) -> Iterator[None]:
    def enter(module: nn.Module, _arguments: tuple[Any, ...]) -> None:
        running.append(module)

    def leave(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        running.pop()
        argument = arguments[0] if arguments and isinstance(arguments[0], Tensor) else None
        observation.alive.extend(tensors_in((argument, output)))
        observation.calls.setdefault(module, []).append(Call(argument, output))

    handles = [module.register_forward_pre_hook(enter) for module in root.modules()]
    handles += [module.register_forward_hook(leave) for module in root.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
