"""Configs as files: YAML -> plain values -> typed config, and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from frugalmtl.core.documents import read_yaml_mapping
from frugalmtl.core.schema import read

Config = TypeVar("Config")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a config file: plain values within the bounds of :mod:`frugalmtl.core.documents`.

    Raises:
        UserError: missing, not YAML, or not a mapping.
    """
    return read_yaml_mapping(path, "config")


def parse(kind: type[Config], content: Mapping[str, Any], source: str = "config") -> Config:
    """Read a mapping into a typed config; unknown keys and ill-typed values are refused.

    Sections of registries stay as they are written; they are checked where they are built.

    Raises:
        UserError: with the key at fault and what it must be.
    """
    return read(kind, copy.deepcopy(dict(content)), source)


def as_plain(config: Any) -> dict[str, Any]:
    """A config as a mapping of plain values that :func:`parse` reads back."""
    plain: dict[str, Any] = _plain(config)
    return plain


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return _plain(value.as_dict())
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return copy.deepcopy(value)


def to_yaml(config: Any) -> str:
    """A config as YAML text that :func:`read_yaml` and :func:`parse` read back."""
    return yaml.safe_dump(as_plain(config), sort_keys=False, allow_unicode=True)
