"""The one reader of JSON: whatever a file holds is a plain value or one line of refusal."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents.yaml_loader import UnreadableError
from frugalmtl.core.files import read_text

LONGEST = 200_000_000
"""Bytes of a file: the results of a large comparison hold some megabytes."""
DEPTH = 100
"""Levels of nesting; the results of a comparison have ten."""


def parse_json(text: str | bytes) -> Any:
    """The plain value of a JSON text.

    Raises:
        UnreadableError: the text is not JSON, nested too deep, or holds a number of thousands of digits.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"line {error.lineno}: {error.msg}") from None
    except UnicodeDecodeError:
        raise UnreadableError("not text in UTF-8") from None
    except RecursionError:
        raise UnreadableError("values are nested too deep") from None
    except ValueError:
        raise UnreadableError("a number is too long") from None
    _require_shallow(value)
    return value


def _require_shallow(value: Any) -> None:
    """Refuse what functions that call themselves for every level could not walk through: Python's stack is shorter than
    that of its JSON parser.

    Raises:
        UnreadableError: nested deeper than ``DEPTH``.
    """
    level = [value]
    for _ in range(DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = list(chain.from_iterable(inner))
        if not level:
            return
    raise UnreadableError("values are nested too deep")


def read_json(path: str | Path, what: str, *, remedy: str) -> dict[str, Any]:
    """The mapping that a JSON file of ours holds.

    Args:
        path: the file.
        what: what it is, in messages.
        remedy: what to do if it is damaged.

    Raises:
        UserError: missing, or damaged.
    """
    text = read_text(path, what, limit=LONGEST)
    try:
        content = parse_json(text)
    except UnreadableError as error:
        raise UserError(f"{what} {path} is damaged ({error}): {remedy}") from None
    if not isinstance(content, dict):
        raise UserError(f"{what} {path} is damaged (no mapping of keys to values): {remedy}")
    return content
