"""Text for a terminal: control characters are shown instead of obeyed, square brackets are no markup."""

from __future__ import annotations

import sys
import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories of control and format characters (escape sequences, right-to-left overrides), surrogates (bytes
of a file's name that are no text), characters without a meaning, and separators of lines."""


def visible(text: object) -> str:
    """A text with everything that is not printed written as Python's escapes.

    >>> print(visible("red: \\x1b[31m, turned: \\u202e"))
    red: \\x1b[31m, turned: \\u202e
    """
    return "".join(
        item.encode("unicode_escape", "surrogatepass").decode() if unicodedata.category(item) in _UNSEEN else item
        for item in str(text)
    )


def without_markup(text: object) -> str:
    """A text as rich prints it literally, inside or outside of markup.

    >>> print(without_markup("[/bold] and [red]"))
    \\[/bold] and \\[red]
    """
    from rich.markup import escape  # here, since every command reads this module and few of them print tables

    return escape(visible(text))


def tolerant_output() -> None:
    """Let standard output write what its encoding lacks as escapes: a name must not end a command with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a test or a notebook may have put another stream there
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
