"""The one reader of YAML: texts and files -> plain values, and a mistake as one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents.yaml_loader import PlainLoader, UnreadableError
from frugalmtl.core.files import read_text

LONGEST = 1_000_000
"""Characters of a document (bytes of a file); the longest of our configs has four thousand."""
_KINDS = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


def parse_yaml(text: str) -> Any:
    """The plain value of a YAML text: mappings, lists, texts, numbers, true, false and null.

    Raises:
        UnreadableError: the text is not YAML, or not taken; the message names the line.
    """
    if len(text) > LONGEST:
        raise UnreadableError(f"the document is longer than {LONGEST} characters")
    loader: Any = None
    try:
        loader = PlainLoader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        place = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        if error.problem and r"'\t'" in error.problem:
            raise UnreadableError(f"{place}a tab stands where YAML takes none: indent with spaces") from None
        raise UnreadableError(f"{place}{error.problem or error.context} (not valid YAML)") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position if isinstance(error.position, int) else 0) + 1
        character = error.character if isinstance(error.character, str) else chr(error.character)
        raise UnreadableError(f"line {line}: the character {character!a} is not allowed in YAML: remove it") from None
    finally:
        if loader is not None:
            loader.dispose()


def read_yaml_mapping(path: str | Path, what: str) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: the file.
        what: what it is, in messages.

    Raises:
        UserError: missing, too large, not YAML, not taken, or not a mapping.
    """
    try:
        content = parse_yaml(read_text(path, what, limit=LONGEST))
    except UnreadableError as error:
        raise UserError(f"{what} {path}: {error}") from None
    return mapping(content, f"{what} {path}")


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A value of a document that must be a mapping; keys that are numbers become texts.

    Raises:
        UserError: it is another value, or a text and a number are one key.
    """
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "nothing")
        raise UserError(f"{what} must be a mapping of keys to values, but holds {kind}")
    by_text = {str(key): item for key, item in value.items()}
    if len(by_text) < len(value):
        keys = [str(key) for key in value]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"{what} holds the key {twice!r} more than once, as a number and as a text: keep one")
    return by_text
