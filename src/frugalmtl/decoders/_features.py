"""Features that several tasks share, for work that is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from frugalmtl.core.types import Pyramid

Result = TypeVar("Result")


def same(one: Pyramid, other: Pyramid) -> bool:
    """Whether two pyramids are made of the same tensors (tasks that share all features)."""
    return one is other or (len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True)))


def once_per_pyramid(
    module: Callable[[Pyramid], Result], features: dict[str, Pyramid], names: Iterable[str]
) -> dict[str, Result]:
    """``{name: module(features[name])}``, computed once for tasks that hold the same tensors."""
    done: list[tuple[Pyramid, Result]] = []
    results: dict[str, Result] = {}
    for name in names:
        pyramid = features[name]
        result = next((value for seen, value in done if same(seen, pyramid)), None)
        if result is None:
            result = module(pyramid)
            done.append((pyramid, result))
        results[name] = result
    return results
