"""Docstrings as a person reads them: no markup, ordinary text filled, formulas and examples as written."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass
from typing import Any

import docstring_parser

_ROLE = re.compile(r":[\w:]+:`(?:[^`<]*<)?~?([^`>]*)>?`")
_LITERAL = re.compile(r"``(.+?)``", flags=re.DOTALL)


@dataclass(frozen=True)
class Documentation:
    """The docstring of a class or function.

    Attributes:
        summary: its first paragraph.
        text: what follows, without the sections on arguments and errors.
        parameters: ``{parameter: description}``; those of base classes too, where the class does not describe its own.
    """

    summary: str
    text: str
    parameters: dict[str, str]


def documentation(member: Any) -> Documentation:
    """The docstring of a class or function, taken apart."""
    docs: dict[str, str] = {}
    members = [*member.__mro__[-2::-1]] if inspect.isclass(member) else [member]  # from the first base to the class
    for item in members:
        text = inspect.cleandoc(vars(item).get("__doc__") or "") if item is not member else inspect.getdoc(item) or ""
        parsed = docstring_parser.parse(text, style=docstring_parser.DocstringStyle.GOOGLE)
        docs |= {one.arg_name: " ".join((one.description or "").split()) for one in parsed.params}
    return Documentation(parsed.short_description or "", parsed.long_description or "", docs)


def plain(text: str) -> str:
    """A text without the markup of Sphinx.

    >>> plain("taken by :class:`~frugalmtl.tasks.base.Task` as ``x``, see :mod:`frugalmtl.core`")
    'taken by Task as x, see frugalmtl.core'
    """
    text = _ROLE.sub(lambda match: match[1].rpartition(".")[2] if "~" in match[0] else match[1], text)
    return _LITERAL.sub(r"\1", text)


def readable(text: str, width: int) -> str:
    """Paragraphs and points of lists filled to a width; what is indented (examples, formulas) stays as it is.

    Formulas inside a paragraph (````` ``x_i = sum_j a_ij x_j`` `````) are not broken over lines.
    """
    blocks: list[str] = []
    for block in text.split("\n\n"):
        if block.strip() == "::":
            continue
        if block.startswith((" ", ">>>", "\n ")):
            blocks.append(block)
        else:
            blocks.append("\n".join(_filled(part, width) for part in re.split(r"\n(?=- )", block)))
    return "\n\n".join(blocks)


def _filled(text: str, width: int) -> str:
    """One paragraph, or one point of a list, filled to a width."""
    joined = _LITERAL.sub(lambda match: match[0].replace(" ", "\0"), " ".join(text.split()))
    indent = "  " if joined.startswith("- ") else ""
    filled = textwrap.fill(
        plain(joined), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return re.sub("::$", ":", filled.replace("\0", " "))
