"""Observation of one forward pass: which modules are called, which operation reads which tensor."""

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

from frugalmtl.core.counting import is_data_dependent

_HELD = ("_parameters", "_buffers", "_modules")


@dataclass
class ModuleCall:
    """One call of a module.

    Attributes:
        argument: its first positional argument if that is a tensor.
        output: its output, whatever it is.
        caller: the module in whose forward pass it was called; None for the outermost.
    """

    argument: Tensor | None
    output: Any
    caller: nn.Module | None


@dataclass
class OperationRecord:
    """One operation on tensors.

    Attributes:
        reads: ids of the tensors it took.
        sources: the storages of these.
        results: the storages of its results; an operation in place has one of its arguments' among them.
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
        offered: the tensors that data-dependent modules were called with: which of them they read depends on the input.
        alive: every observed tensor, held so that no ``id`` is reused.
    """

    calls: dict[nn.Module, list[ModuleCall]] = field(default_factory=dict)
    operations: list[OperationRecord] = field(default_factory=list)
    reads: Counter[int] = field(default_factory=Counter)
    returned: list[Tensor] = field(default_factory=list)
    offered: list[Tensor] = field(default_factory=list)
    alive: list[Tensor] = field(default_factory=list)

    def feeds_only(self, source: nn.Module, sink: nn.Module) -> bool:
        """Whether every output of ``source`` was read by one call of ``sink`` and by nothing else, and every call of
        ``sink`` read one of them."""
        outputs = [call.output for call in self.calls.get(source, [])]
        arguments = [call.argument for call in self.calls.get(sink, [])]
        returned = {id(tensor) for tensor in self.returned}
        return (
            len(outputs) == len(arguments) > 0
            and {id(output) for output in outputs} == {id(argument) for argument in arguments}
            and all(
                isinstance(output, Tensor) and self.reads[id(output)] == 1 and id(output) not in returned
                for output in outputs
            )
        )

    def dead_operations(self) -> list[OperationRecord]:
        """Operations that nothing returned, and nothing offered to a data-dependent module, depends on.

        The search goes backwards over storages and not tensors: writing through a view counts as writing to its base.
        """
        needed = {_storage(tensor) for tensor in (*self.returned, *self.offered)}
        dead: list[OperationRecord] = []
        for operation in reversed(self.operations):
            if operation.results & needed:
                needed |= operation.sources
            else:
                dead.append(operation)
        return dead


def data_dependent_parts(root: nn.Module) -> set[nn.Module]:
    """The data-dependent modules of ``root`` and all modules inside them; one pass says nothing of what they need."""
    return {part for module in root.modules() if is_data_dependent(module) for part in module.modules()}


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def observe(module: nn.Module, *inputs: Any) -> Observation:
    """Run ``module(*inputs)`` once without gradients and record it. Leaves no hook behind.

    Tensors that modules remember from passes before (position biases of transformers, by device) are forgotten first:
    what they are computed from would seem to be read by nobody.
    """
    forget(module)
    observation = Observation()
    running: list[nn.Module] = []
    with _recorded_calls(module, observation, running), torch.no_grad(), _Operations(observation, running):
        observation.returned = tensors_in(module(*inputs))
    return observation


def forget(root: nn.Module) -> None:
    """Empty the dictionaries of tensors that modules keep beside their parameters, buffers and submodules."""
    for module in root.modules():
        for name, value in vars(module).items():
            if (
                name not in _HELD
                and isinstance(value, dict)
                and any(isinstance(item, Tensor) for item in value.values())
            ):
                value.clear()


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
        results = tensors_in(result)
        self.observation.alive += [*taken.values(), *results]
        self.observation.reads.update(taken.keys())
        operation = OperationRecord(set(taken), sources, {_storage(tensor) for tensor in results}, tuple(self.running))
        self.observation.operations.append(operation)
        return result


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


@contextmanager
def _recorded_calls(root: nn.Module, observation: Observation, running: list[nn.Module]) -> Iterator[None]:
    def enter(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        running.append(module)
        if is_data_dependent(module):
            observation.offered += tensors_in((arguments, keywords))

    def leave(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        running.pop()
        argument = arguments[0] if arguments and isinstance(arguments[0], Tensor) else None
        observation.alive.extend(tensors_in((argument, output)))
        observation.calls.setdefault(module, []).append(ModuleCall(argument, output, running[-1] if running else None))

    handles = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in root.modules()]
    handles += [module.register_forward_hook(leave) for module in root.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
