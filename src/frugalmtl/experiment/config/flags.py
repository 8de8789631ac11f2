"""Flags over a config: ``encoder.own`` and a text -> the same config with that key changed."""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Union, get_args, get_origin

from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.documents import UnreadableError, parse_yaml
from frugalmtl.core.registry import Registry
from frugalmtl.core.schema import fits, parameters
from frugalmtl.experiment.config.comparison import merge


def change(kind: type, content: dict[str, Any], key: str, text: str) -> None:
    """Set a dotted key of a config's content from the text of a flag.

    A text is read as YAML unless the key takes texts alone. The name of a member stands for its section; a section with
    another name replaces the old one; ``key+`` adds to a list.

    Args:
        kind: the typed config.
        content: its plain values; changed in place.
        key: e.g. ``train.epochs``.
        text: what the user wrote.

    Raises:
        UserError: an unknown key, or one inside a value that is no section.
    """
    *parents, last = key.removesuffix("+").split(".")
    place, inner, default = content, kind, None
    for name in parents:
        inner, default = _below(inner, name, f"--{key}")
        if place.get(name) is None:
            place[name] = copy.deepcopy(default) if isinstance(default, dict) else {}
        place = place[name]
        if not isinstance(place, dict):
            written = isinstance(place, str) and last != name
            remedy = f": write its section, {{{_first_key(inner)}: {place}, ...}}" if written else ""
            raise UserError(f"flag --{key} does not fit: {name!r} is {shown(place)}, not a section{remedy}")
    inner, default = _below(inner, last, f"--{key}")
    value = _value(inner, text, f"--{key}")
    if key.endswith("+"):
        if not isinstance(place.get(last) or [], list):
            raise UserError(f"flag --{key} adds to a list, but {last!r} is {shown(place[last])}: leave out the '+'")
        value = [*(place.get(last) or []), *(value if isinstance(value, list) else [value])]
    elif last == "name" and place.get("name", value) != value:
        place.clear()  # the options of another member
    elif is_dataclass(inner) and isinstance(value, Mapping):
        value = merge(place.get(last) or {}, value)
    place[last] = value


def _first_key(kind: Any) -> str:
    """The key of a section that a text in its place stands for."""
    plain = next((item for item in _alternatives(kind) if is_dataclass(item)), None)
    return "name" if plain is None else next(iter(parameters(plain, positional=True)))  # type: ignore[arg-type]


def _below(kind: Any, name: str, flag: str) -> tuple[Any, Any]:
    """Type and default of a key: a dataclass's field, or anything inside a free mapping."""
    plain = next((item for item in _alternatives(kind) if is_dataclass(item)), None)
    if plain is None:
        return Any, None
    accepted = parameters(plain, positional=True)  # type: ignore[arg-type]  # a dataclass
    parameter = accepted[known(f"key of flag {flag}:", name, accepted)]
    return parameter.annotation, parameter.default


def _value(kind: Any, text: str, flag: str) -> Any:
    try:
        value = parse_yaml(text)
    except UnreadableError as error:
        if text.startswith(("[", "{")) and (kind is Any or not fits(kind, text)):
            raise UserError(f"{flag}: {error}") from None
        value = text
    if isinstance(value, str) and section(kind) is not None:
        return {"name": value}
    return text if not fits(kind, value) and fits(kind, text) else value


def section(kind: Any) -> Registry | None:
    """The registry whose members a value of this type names, if any."""
    marks = (mark for item in _alternatives(kind) for mark in getattr(item, "__metadata__", ()))
    return next((mark for mark in marks if isinstance(mark, Registry)), None)


def sections(kind: type, before: str = "") -> dict[str, Registry]:
    """The registries that a typed config's sections name, by dotted key."""
    by_key: dict[str, Registry] = {}
    for name, parameter in parameters(kind, positional=True).items():
        if registry := section(parameter.annotation):
            by_key[before + name] = registry
        elif is_dataclass(parameter.annotation):
            by_key |= sections(parameter.annotation, f"{before}{name}.")  # type: ignore[arg-type]  # a dataclass
    return by_key


def _alternatives(kind: Any) -> list[Any]:
    return list(get_args(kind)) if get_origin(kind) in (Union, types.UnionType) else [kind]
