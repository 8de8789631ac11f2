"""Pruning of modules whose output nothing reads."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor, nn

from frugalmtl.deployment.observe import Observation, data_dependent_parts, tensors_in
from frugalmtl.deployment.replace import replace_modules


class Unread(nn.Module):
    """Substitute for a module whose output nothing reads: returns its argument, as often as the module gave tensors.

    Args:
        count: length of the list to return; None for a single tensor.
    """

    def __init__(self, count: int | None) -> None:
        super().__init__()
        self.count = count

    def forward(self, argument: Tensor, *_others: Any) -> Tensor | list[Tensor]:
        """Any tensor -> itself, or a list of it."""
        return argument if self.count is None else [argument] * self.count


def prune_dead(root: nn.Module, seen: Observation) -> None:
    """Replace the outermost modules of ``root`` that no returned tensor depends on by :class:`Unread`; in place.

    Such are levels of a pyramid, or whole networks, that no decoder asks for. A module is kept if an operation outside
    the replaced modules reads its output (that operation would meet something else). So is everything inside a module
    that says by an attribute ``data_dependent = True`` that what it does depends on the input, whatever holds such a
    module, and whatever its arguments are computed by.
    """
    dead = {id(operation) for operation in seen.dead_operations()}
    total, idle = Counter[nn.Module](), Counter[nn.Module]()
    for operation in seen.operations:
        for module in dict.fromkeys(operation.inside):
            total[module] += 1
            idle[module] += id(operation) in dead
    candidates = {module for module, count in total.items() if idle[module] == count}
    chosen = set(_outermost(root, candidates - data_dependent_parts(root), seen))
    while True:
        read = {
            tensor for operation in seen.operations if not chosen & {*operation.inside} for tensor in operation.reads
        }
        met = {module for module in chosen if read & {id(tensor) for tensor in _outputs(module, seen)}}
        if not met:
            break
        chosen -= met
    replace_modules(root, {module: _substitute(seen.calls[module][0].output) for module in chosen})


def _substitute(output: Tensor | list[Tensor]) -> Unread:
    return Unread(None if isinstance(output, Tensor) else len(output))


def _outputs(module: nn.Module, seen: Observation) -> list[Tensor]:
    return [tensor for call in seen.calls[module] for tensor in tensors_in(call.output)]


def _outermost(module: nn.Module, candidates: set[nn.Module], seen: Observation) -> list[nn.Module]:
    outermost: list[nn.Module] = []
    for child in module.children():
        if child in candidates and _replaceable(child, seen):
            outermost.append(child)
        else:
            outermost += _outermost(child, candidates, seen)
    return outermost


def _replaceable(module: nn.Module, seen: Observation) -> bool:
    if data_dependent_parts(module) or any(call.argument is None for call in seen.calls[module]):
        return False
    outputs = [call.output for call in seen.calls[module]]
    if all(isinstance(output, Tensor) for output in outputs):
        return True
    return all(
        isinstance(output, list) and len(output) == len(outputs[0]) and all(isinstance(item, Tensor) for item in output)
        for output in outputs
    )
