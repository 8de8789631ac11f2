"""JSON <-> dataclasses, driven by the fields' types, with errors that name the place in the file."""

from __future__ import annotations

import math
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, cast

import numpy as np

from frugalmtl.core.checks import UserError

_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}
_WORDS = {str: "a text", int: "a whole number", float: "a number or null", bool: "true or false"}


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


def read_value(kind: Any, value: Any, where: str) -> Any:
    """Read ``value`` as ``kind``: dataclass, list, tuple, dict with text keys, ``Literal``, ``X | None``, scalar, Any.

    Raises:
        UserError: the value has another type, lacks a field or has one that is not known.
    """
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _read_dataclass(cast(type, kind), value, where)
    if origin is list:
        item_kind = typing.get_args(kind)[0]
        return [
            read_value(item_kind, item, f"{where}[{index}]") for index, item in enumerate(_check(value, list, where))
        ]
    if origin is tuple:
        kinds, items = typing.get_args(kind), _check(value, list, where)
        if len(items) != len(kinds):
            raise _wrong(where, f"a list of {len(kinds)}", value)
        return tuple(
            read_value(each, item, f"{where}[{i}]") for i, (each, item) in enumerate(zip(kinds, items, strict=True))
        )
    if origin is dict:
        item_kind = typing.get_args(kind)[1]
        return {key: read_value(item_kind, item, f"{where}.{key}") for key, item in _check(value, dict, where).items()}
    if origin in (Union, types.UnionType):
        return _read_union(kind, value, where)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise _wrong(where, f"one of {', '.join(map(repr, typing.get_args(kind)))}", value)
        return value
    return _read_scalar(kind, value, where)


def _read_union(kind: Any, value: Any, where: str) -> Any:
    """The first member of the union that accepts ``value``; null is only taken by ``None``."""
    members = typing.get_args(kind)
    if value is None and type(None) in members:
        return None
    error: UserError | None = None
    for member in members:
        if member is not type(None):
            try:
                return read_value(member, value, where)
            except UserError as problem:
                error = error or problem
    raise error or _wrong(where, str(kind), value)


def _read_dataclass(kind: type, value: Any, where: str) -> Any:
    known = {item.name: item for item in fields(kind)}
    content = _check(value, dict, where)
    if unknown := sorted(set(content) - set(known)):
        raise UserError(f"{where} has the unknown field {unknown[0]!r}: expected {', '.join(known)}")
    for name, item in known.items():
        if name not in content and item.default is MISSING and item.default_factory is MISSING:
            raise UserError(
                f"{where} lacks the field {name!r}: the file is incomplete; write it again with the comparison"
            )
    hints = typing.get_type_hints(kind)
    return kind(**{name: read_value(hints[name], item, f"{where}.{name}") for name, item in content.items()})


def _read_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float:
        if value is None:
            return math.nan
        if isinstance(value, str) and value in _INFINITE:
            return _INFINITE[value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value  # a whole number stays one, so that a file read and written again is the same
    elif kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, kind):
        return value
    raise _wrong(where, _WORDS.get(kind, str(kind)), value)


def _check(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(where, "a list" if kind is list else "an object", value)
    return value


def _wrong(where: str, expected: str, value: Any) -> UserError:
    shown = repr(value)
    return UserError(f"{where} must be {expected}, but got {shown if len(shown) < 60 else shown[:57] + '...'}")
