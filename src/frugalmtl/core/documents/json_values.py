"""JSON of records that hold numbers which JSON has not: NaN as null, infinities as texts."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}


def json_value(value: Any) -> Any:
    """A dataclass, container or scalar as plain JSON values.

    JSON has no NaN: it is written as null, and infinities as the texts ``"Infinity"`` and ``"-Infinity"``.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: json_value(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, np.generic):
        return json_value(value.item())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def json_text(value: Any, *, indent: int | None = 1, ensure_ascii: bool = True) -> str:
    """:func:`json_value` as text that every reader of JSON takes."""
    return json.dumps(json_value(value), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def with_nan(value: Any) -> Any:
    """JSON values with NaN for every null, as records of numbers mean it."""
    if isinstance(value, dict):
        return {key: with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_nan(item) for item in value]
    return math.nan if value is None else value


def number_of(value: Any) -> float:
    """The number that :func:`json_value` wrote; a whole number stays one, so that a file written again is the same.

    Raises:
        ValueError: it is no such number.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if value is None or (isinstance(value, str) and value in _INFINITE):
        return math.nan if value is None else _INFINITE[value]
    raise ValueError(value)
