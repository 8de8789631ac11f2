"""Text for a terminal: control characters are shown instead of obeyed, square brackets are no markup."""

from __future__ import annotations

import contextlib
import sys
import unicodedata
import warnings
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Item = TypeVar("Item")

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories of control and format characters (escape sequences, right-to-left overrides), surrogates (bytes
of a file's name that are no text), characters without a meaning, and separators of lines."""

_UNBROKEN = 1000
"""Columns of a table where no terminal limits them; it takes no more than it needs."""


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


def output_console(*, stderr: bool = False, literal: bool = False) -> Console:
    """A console for lines and tables: as wide as a terminal, and never broken into lines in a file or pipe.

    Args:
        stderr: write to standard error instead of standard output.
        literal: texts are printed as they are: no markup, no colours for numbers and words.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNBROKEN
    return Console(stderr=stderr, soft_wrap=True, width=width, markup=not literal, highlight=not literal)


def progress_bar(*, shown: bool = True) -> Progress:
    """A bar with the remaining time on standard error; nothing at all where no terminal shows it.

    Args:
        shown: whether a bar is wanted.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = output_console(stderr=True)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True)


def tracked(items: Collection[Item], what: str, *, shown: bool) -> Iterator[Item]:
    """The items one after the other, with a :func:`progress_bar` of how many are done.

    Args:
        items: to work on.
        what: said beside the bar.
        shown: whether a bar is wanted.
    """
    with progress_bar(shown=shown and bool(items)) as bar:
        yield from bar.track(items, description=what)


@contextlib.contextmanager
def waiting(what: str, *, shown: bool = True) -> Iterator[None]:
    """Work whose end nobody knows: on a terminal, a moving bar with the time so far.

    Args:
        what: said beside the bar.
        shown: whether a bar is wanted.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)  # the stream itself: the work may hold back what others write to it
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        bar.add_task(what, total=None)
        yield


def tolerant_output() -> None:
    """Let a command's output hold what its encoding lacks as escapes, and each warning in one line without code."""
    warnings.formatwarning = lambda message, *_, **__: f"frugalmtl: note: {visible(' '.join(str(message).split()))}\n"
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a test or a notebook may have put another stream there
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
