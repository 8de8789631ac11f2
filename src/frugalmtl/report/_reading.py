"""Report files: dataclasses as JSON, with NaN as null and infinities as texts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from frugalmtl.core.schema import read

_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}
Kind = TypeVar("Kind")


def write_value(value: Any) -> Any:
    """A dataclass, container or scalar as plain JSON values.

    JSON has no NaN: it is written as null, and infinities as the texts ``"Infinity"`` and ``"-Infinity"``.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: write_value(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): write_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [write_value(item) for item in value]
    if isinstance(value, np.generic):
        return write_value(value.item())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def read_value(kind: type[Kind], value: Any, where: str) -> Kind:
    """Read what :func:`write_value` wrote.

    Raises:
        UserError: the value has another type, lacks a field or has one that is not known.
    """
    return read(kind, value, where, readers={float: _number})


def _number(value: Any) -> float:
    """A number, null or an infinity; a whole number stays one, so that a file read and written again is the same."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if value is None or (isinstance(value, str) and value in _INFINITE):
        return math.nan if value is None else _INFINITE[value]
    raise ValueError(value)
