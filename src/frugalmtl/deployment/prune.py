"""Modules whose output nobody reads are not run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor, nn

from frugalmtl.deployment.observe import Observation, tensors_in
from frugalmtl.deployment.replace import replace_modules


class Unread(nn.Module):
    """In the place of a module whose output nobody reads: hands its argument on, as often as the module gave tensors.

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
    the replaced modules reads its output (that operation would meet something else), or if it or a part of it says by
    an attribute ``data_dependent = True`` that what it does depends on the input.
    """
    dead = {id(operation) for operation in seen.dead_operations()}
    total, idle = Counter[nn.Module](), Counter[nn.Module]()
    for operation in seen.operations:
        for module in dict.fromkeys(operation.inside):
            total[module] += 1
            idle[module] += id(operation) in dead
    chosen = set(_outermost(root, {module for module, count in total.items() if idle[module] == count}, seen))
    while True:
        read = {
            tensor for operation in seen.operations if not chosen & {*operation.inside} for tensor in operation.reads
        }
        met = {module for module in chosen if read & {id(tensor) for tensor in _outputs(module, seen)}}
        if not met:
            break
        chosen -= met
    replace_modules(root, {module: _stand_in(seen.calls[module][0].output) for module in chosen})


def _stand_in(output: Tensor | list[Tensor]) -> Unread:
    return Unread(None if isinstance(output, Tensor) else len(output))


def _outputs(module: nn.Module, seen: Observation) -> list[Tensor]:
    return [tensor for call in seen.calls[module] for tensor in tensors_in(call.output)]


def _outermost(module: nn.Module, candidates: set[nn.Module], seen: Observation) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in module.children():
        if child in candidates and _replaceable(child, seen):
            found.append(child)
        else:
            found += _outermost(child, candidates, seen)
    return found


def _replaceable(module: nn.Module, seen: Observation) -> bool:
    if any(getattr(part, "data_dependent", False) for part in module.modules()):
        return False
    return all(
        call.argument is not None
        and (isinstance(call.output, Tensor) or (isinstance(call.output, list) and _all_tensors(call.output)))
        for call in seen.calls[module]
    )


def _all_tensors(values: list[Any]) -> bool:
    return all(isinstance(value, Tensor) for value in values)
