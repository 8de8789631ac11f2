"""Damage to the files of runs: missing, empty, cut, of another kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path], object]


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def texts_for_numbers(path: Path) -> None:
    path.write_text(re.sub(r"-?\b\d+(\.\d+)?(e-?\d+)?\b", '"many"', path.read_text()))


def nan_for_numbers(path: Path) -> None:
    path.write_text(re.sub(r"-?\b\d+\.\d+(e-?\d+)?\b", "NaN", path.read_text()))


def lists_for_mappings(path: Path) -> None:
    if path.suffix == ".yaml":
        path.write_text("- a\n- list\n")
        return
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    path.write_text("".join(json.dumps([_listed(json.loads(line))]) + "\n" for line in lines))


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value.values()] if isinstance(value, dict) else value


DAMAGES: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "not text": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "not JSON": lambda path: path.write_text("{once upon: a time"),
    "another kind": lists_for_mappings,
    "null": lambda path: path.write_text("null\n"),
    "texts for numbers": texts_for_numbers,
    "NaN for numbers": nan_for_numbers,
    "nested": lambda path: path.write_text("[" * 100_000),
    "nested and closed": lambda path: path.write_text("[" * 2000 + "]" * 2000),
}
