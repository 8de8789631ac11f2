"""Patterns of files: ``images/{id}.png``, with several endings or any."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.terminal import visible
from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.files.decoding import readable_endings

_ENDINGS = re.compile(r"(.*\.)(?:\{([^{}]*)\}|\*)", flags=re.DOTALL)
ANY = "*"


@dataclass(frozen=True)
class Pattern:
    """A file per id.

    Attributes:
        text: as the user wrote it: ``images/{id}.png``, ``images/{id}.{png,jpg,JPG}`` or ``images/{id}.*``.
        before: what stands before the id.
        after: what stands behind it, without the endings if there are several.
        endings: the possible endings without the dot; ``("*",)`` for every one that images and arrays have; empty if
            ``after`` holds the only one.
    """

    text: str
    before: str
    after: str
    endings: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Any, what: str) -> Pattern:
        """Read a pattern.

        Raises:
            UserError: it leads out of the root, or does not hold ``{id}`` once, or braces elsewhere than in its ending.
        """
        text = relative_path(value, what)
        before, sign, after = text.partition("{id}")
        endings: tuple[str, ...] = ()
        several = _ENDINGS.fullmatch(after)
        if several is not None:
            after, listed = several.groups()
            endings = (ANY,) if listed is None else tuple(dict.fromkeys(part.strip(" .") for part in listed.split(",")))
        if (
            not sign
            or any(mark in before + after + "".join(endings).removesuffix(ANY) for mark in "{}*")
            or ("" in endings or any("/" in ending for ending in endings))
        ):
            raise UserError(
                f"{what} must hold {{id}} exactly once, as in images/{{id}}.jpg, images/{{id}}.{{png,jpg}} or "
                f"images/{{id}}.*, but got {shown(text)}"
            )
        return cls(text, before, after, endings)

    @property
    def folder(self) -> str:
        """The folder that all files of the pattern lie in or below."""
        return self.before.rpartition("/")[0]

    def example(self, name: str) -> str:
        """The path, relative to the root, of the file of an id; with the first of several endings."""
        return f"{self.before}{name}{self.after}{'png' if self.endings == (ANY,) else ''.join(self.endings[:1])}"

    def files(self, name: str, listing: Listing) -> list[str]:
        """Paths, relative to the root, of the files of an id that exist: of a sound folder, one at most."""
        start = f"{self.before}{name}{self.after}"
        if self.endings == (ANY,):
            folder, stem = os.path.split(start[:-1])
            return [start + ending for ending in listing.endings(folder, stem) if ending.lower() in readable_endings()]
        candidates = [start + ending for ending in self.endings] or [start]
        return [candidate for candidate in candidates if listing.exists(candidate)]

    def ids(self, listing: Listing) -> list[str]:
        """Ids of all files that match, sorted; an id may hold folders."""
        endings: tuple[str, ...] = tuple(readable_endings()) if self.endings == (ANY,) else self.endings
        choice = "|".join(map(re.escape, endings))
        last = f"(?i:{choice})" if self.endings == (ANY,) else f"(?:{choice})"
        form = re.compile(f"{re.escape(self.before)}(.+){re.escape(self.after)}{last}", flags=re.DOTALL)
        return sorted({match.group(1) for file in listing.walk(self.folder) if (match := form.fullmatch(file))})


def relative_path(value: Any, what: str) -> str:
    """Return a path if it cannot lead out of the root by its words.

    Raises:
        UserError: it is no text, empty, absolute, climbs by ``..``, or holds characters that are not printed.
    """
    text = path_text(value, what)
    if PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts or not text:
        raise UserError(f"{what} must be a path inside the root without '..', but got {shown(text)}")
    if unprintable(text):
        raise UserError(f"{what} holds characters that are not printed: {visible(text)}; rename the file")
    return text


def path_text(value: Any, what: str) -> str:
    """Return a value of a document as a path; a number is the name of a file or folder.

    Raises:
        UserError: it is neither a text nor a whole number.
    """
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise UserError(f"{what} must be a path (a text), but got {shown(value)}: write one")


def unprintable(name: str) -> bool:
    """Whether a file's name holds control characters or bytes that are no UTF-8: it stands in lists, logs and results.

    >>> unprintable("Straße 图.png"), unprintable("two\\nlines.png"), unprintable("caf\\udce9.png")
    (False, True, True)
    """
    return any(sign < " " or "\x7f" <= sign <= "\x9f" or "\ud800" <= sign <= "\udfff" for sign in name)


def without_ending(name: str) -> str:
    """An id without what looks like the ending of a file of images or arrays.

    >>> without_ending("a.b/im00.PNG"), without_ending("v1.5")
    ('a.b/im00', 'v1.5')
    """
    start, dot, ending = name.rpartition(".")
    return start if dot and ending.lower() in readable_endings() else name
