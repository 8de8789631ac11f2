"""HTML from plain functions: every text is escaped unless it is already markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

_EMPTY = frozenset(("img", "meta", "link", "br", "source", "hr"))


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """``value`` as text that cannot become an element or leave an attribute."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element. Attributes: a trailing ``_`` is dropped, ``_`` becomes ``-``, None and False leave the attribute out.

    >>> tag("td", "a < b", class_="best", data_row="x")
    '<td class="best" data-row="x">a &lt; b</td>'
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None and value is not False:
            word = key.rstrip("_").replace("_", "-")
            parts.append(f" {word}" if value is True else f' {word}="{escape(value)}"')
    parts.append(">")
    if name not in _EMPTY:
        parts += [join(children), f"</{name}>"]
    return Markup("".join(parts))


def join(children: Iterable[object]) -> Markup:
    """Markup one after the other; None is left out."""
    return Markup("".join(escape(child) for child in children if child is not None))


def prose(value: object) -> Markup:
    """Escaped text in which the name of the measure gets its subscript."""
    return Markup(escape(value).replace("Δ_MTL", "Δ<sub>MTL</sub>"))
