"""Damage to configs: seeded mutations of plain values and of their YAML text."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable
from typing import Any

import yaml

Config = dict[str, Any]
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    3,
    2**31,
    2**63,
    -(2**70),
    10**400,
    0.0,
    -0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "3",
    "1e-3",
    "true",
    "null",
    "../../../x",
    "/dev/null",
    "a\0b",
    "[/bold]",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "\udce9",
    "深度",
    "e\u0301\u0302",
    "\U0001f469\u200d\U0001f467",
    "x" * 5000,
    "{id}",
    "${HOME}",
    "{{ 7 * 7 }}",
    [],
    [None],
    [[[]]],
    ["a", "a"],
    [1, "a", None],
    list(range(300)),
    {},
    {"name": None},
    {"name": "x"},
    {"name": 3},
    {"": ""},
    {1: 2},
    {None: None},
    {True: 1},
    {"class_path": "os.system", "init_args": {"command": "touch CANARY"}},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of every value inside a config."""
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for key, item in inner for place in [(*path, key), *places(item, (*path, key))]]


def _holder(config: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        config = config[key]
    return config


def replace(source: random.Random, config: Config) -> None:
    """Another value of any kind."""
    path = source.choice(places(config))
    _holder(config, path)[path[-1]] = copy.deepcopy(source.choice(VALUES))


def drop(source: random.Random, config: Config) -> None:
    """A key or item less."""
    path = source.choice(places(config))
    del _holder(config, path)[path[-1]]


def rename(source: random.Random, config: Config) -> None:
    """A key by another name: a typo, a number, a word of YAML, a text that no key has."""
    path = source.choice([path for path in places(config) if isinstance(path[-1], str)])
    holder, key = _holder(config, path), path[-1]
    spoilt = source.choice([key[:-1], key + "x", key.upper(), f" {key}", 3, True, None, "x" * 3000, *map(str, VALUES)])
    holder[spoilt] = holder.pop(key)


def swap(source: random.Random, config: Config) -> None:
    """Two values in each other's place."""
    one, two = source.sample(places(config), 2)
    first, second = (copy.deepcopy(_holder(config, path)[path[-1]]) for path in (one, two))
    _holder(config, one)[one[-1]] = second
    with contextlib.suppress(KeyError, IndexError, TypeError):  # the first value held the second
        _holder(config, two)[two[-1]] = first


def nest(source: random.Random, config: Config) -> None:
    """A value inside of many lists or mappings."""
    path = source.choice(places(config))
    holder = _holder(config, path)
    for _ in range(source.choice([1, 5, 39, 45, 80])):
        holder[path[-1]] = [holder[path[-1]]] if source.random() < 0.5 else {"name": holder[path[-1]]}


ON_VALUES: tuple[Callable[[random.Random, Config], None], ...] = (replace, replace, replace, drop, rename, swap, nest)


def mutated_text(source: random.Random, text: str) -> bytes:
    """A config with one to three of its values damaged, or its text."""
    config = yaml.safe_load(text)
    for _ in range(source.randint(1, 3)):
        if places(config):
            source.choice(ON_VALUES)(source, config)
    spoilt = yaml.dump(config, sort_keys=False, allow_unicode=True, Dumper=yaml.SafeDumper)
    return (
        source.choice(ON_TEXTS)(source, spoilt).encode("utf-8", "surrogatepass")
        if source.random() < 0.4
        else (spoilt.encode("utf-8", "surrogatepass"))
    )


def truncate(source: random.Random, text: str) -> str:
    """The text up to somewhere."""
    return text[: source.randrange(len(text) + 1)]


def double(source: random.Random, text: str) -> str:
    """A line twice: a key that is given twice, or a list's item."""
    lines = text.splitlines(keepends=True) or [""]
    index = source.randrange(len(lines))
    return "".join([*lines[: index + 1], *lines[index:]])


_SIGNS = "{}[]:,-&*!|>'\"%@`#?~ \t\n\0\x1b\x85\u2028\ufeff0aé"


def scatter(source: random.Random, text: str) -> str:
    """Some characters replaced by others."""
    letters = list(text)
    for _ in range(source.randint(1, 8)):
        if letters:
            letters[source.randrange(len(letters))] = source.choice(
                "{}[]:,-&*!|>'\"%@`#?~ \t\n\0\x1b\x85\u2028\ufeff0aé"
            )
    return "".join(letters)


def indent(source: random.Random, text: str) -> str:
    """A line further in or out."""
    lines = text.splitlines() or [""]
    index = source.randrange(len(lines))
    lines[index] = source.choice(["  ", "\t", "   ", "- "]) + lines[index]
    return "\n".join(lines)


def anchor(source: random.Random, text: str) -> str:
    """Anchors and aliases among the values."""
    return text.replace(": ", source.choice([": &a ", ": *a ", ": !!str ", ": !x "]), source.randint(1, 3))


ON_TEXTS: tuple[Callable[[random.Random, str], str], ...] = (truncate, double, scatter, scatter, indent, anchor)
