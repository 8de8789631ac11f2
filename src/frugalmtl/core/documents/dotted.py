"""Dotted keys of nested mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def leaf(content: Mapping[str, Any], key: str) -> str | int | float | bool | None:
    """The number, text or truth value under a dotted key; None where there is none.

    >>> leaf({"encoder": {"tau": {"depth": 0.25}}}, "encoder.tau.depth")
    0.25
    >>> leaf({"encoder": {"tau": 0.5}}, "encoder.tau.depth") is None
    True
    """
    place: Any = content
    for step in key.split("."):
        if not isinstance(place, Mapping) or step not in place:
            return None
        place = place[step]
    return place if isinstance(place, str | int | float) else None
