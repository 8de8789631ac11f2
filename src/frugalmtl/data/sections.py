"""Config sections of small settings classes: names and types checked, one clear line if they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from jsonargparse import ArgumentParser

from frugalmtl.core.checks import UserError, known

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
    for key in section:
        known(f"argument of {what}:", str(key), [item.name for item in fields(kind)])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        values = vars(parser.parse_object(dict(section)))
    except Exception as error:  # jsonargparse raises several kinds; each means that a value does not fit
        raise UserError(f"{what}: {error}") from None
    return kind(**values)
