"""Config sections of small settings classes: names and types checked, one clear line if they do not fit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from frugalmtl.core.registry import check_arguments

Settings = TypeVar("Settings")


def settings(kind: type[Settings], section: Mapping[str, Any], what: str) -> Settings:
    """An object of the dataclass ``kind`` from a config section.

    Args:
        kind: a dataclass; its fields are the accepted keys.
        section: keys and values.
        what: the section's name in messages.

    Raises:
        UserError: an unknown or missing key, or a value that does not fit.
    """
    if not is_dataclass(kind):
        raise TypeError(f"{kind} is not a dataclass")
    return kind(**check_arguments(what, kind, inspect.signature(kind).parameters, section))
