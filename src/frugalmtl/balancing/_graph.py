"""Operations and leaves behind a tensor in the graph of autograd."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor


def reached(tensors: Iterable[Tensor]) -> set[int]:
    """Ids of the leaves that a backward pass from ``tensors`` would reach."""
    return {id(node.variable) for node in nodes(tensors) if hasattr(node, "variable")}


def share_nodes(tensors: Sequence[Tensor]) -> bool:
    """Whether two of the tensors have an operation in common, so that going back from one must keep it for the other.

    Leaves that both reach do not count: they hold nothing that a backward pass would give free.
    """
    seen: set[Any] = set()
    for tensor in tensors:
        operations = {node for node in nodes([tensor]) if not hasattr(node, "variable")}
        if seen & operations:
            return True
        seen |= operations
    return False


def nodes(tensors: Iterable[Tensor]) -> Iterator[Any]:
    """Every operation and leaf behind the tensors, each once."""
    stack = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)


def leaves_by_distance(tensor: Tensor) -> Iterator[Tensor]:
    """The leaves behind a tensor, those with the fewest operations in between first."""
    queue = deque([] if tensor.grad_fn is None else [tensor.grad_fn])
    seen: set[Any] = set(queue)
    while queue:
        node = queue.popleft()
        if hasattr(node, "variable"):
            yield node.variable
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                queue.append(following)
