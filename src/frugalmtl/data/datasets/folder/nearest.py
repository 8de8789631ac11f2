"""Nearest existing files, folders and ids, for what does not exist."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches

from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.patterns import without_ending

MOST = 2000
"""Names that are compared letter by letter at most."""


def nearest_file(listing: Listing, relative: str) -> str:
    """Words for what exists nearest to a file that does not: a folder if its own is not there, or a file beside it.

    Args:
        listing: of the root.
        relative: the path of the file, relative to the root.
    """
    *folders, name = relative.split("/")
    place = ""
    for folder in folders:
        present = listing.folders(place)
        if folder not in present:
            close = _close(folder, present)
            if close:
                return f"the nearest folder is {place}{close}/"
            return f"there is no folder {place}{folder}/, but {_some(present, f'{place}{{}}/') or 'none at all'}"
        place += f"{folder}/"
    present = listing.files(place.rstrip("/"))
    if not present:
        return f"the folder {place or '.'} holds no file"
    return f"the nearest file is {place}{_close(name, present) or min(present)}"


def _close(name: str, names: Collection[str]) -> str | None:
    """The nearest of names: one that differs in case or begins alike, or by letters."""
    lower = name.lower()
    for candidate in sorted(names):
        if candidate.lower() == lower:
            return candidate
    ordered = sorted(names, key=lambda item: (-_alike(item, name), item))[:MOST]
    return next(iter(get_close_matches(name, ordered, n=1, cutoff=0.5)), None)


def _alike(first: str, second: str) -> int:
    """Characters that two names begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(first), len(second)))


def _some(names: Iterable[str], form: str) -> str:
    listed = sorted(names)
    return ", ".join(form.format(name) for name in listed[:4]) + (", ..." if len(listed) > 4 else "")


_FORMS: tuple[tuple[str, Callable[[str], str], Callable[[str], str]], ...] = (
    ("carry an ending", without_ending, str),
    ("lack the ending", str, without_ending),
    ("carry a folder", lambda item: item.rpartition("/")[2], str),
    ("lack the folder", str, lambda item: item.rpartition("/")[2]),
    ("carry a folder and an ending", lambda item: without_ending(item.replace("\\", "/").rpartition("/")[2]), str),
    ("have backslashes", lambda item: item.replace("\\", "/"), str),
    ("differ in case", str.lower, str.lower),
    ("lack leading zeros", str, lambda item: item.lstrip("0")),
    ("write accents in another form of Unicode", *(2 * (lambda item: unicodedata.normalize("NFC", item),))),
    ("differ in case and carry an ending", lambda item: without_ending(item).lower(), str.lower),
)
"""Differences between two sets of ids: words, and the changes of the one and the other that make them equal."""


def difference(ids: Iterable[str], wanted: Sequence[str]) -> str:
    """Words for how ids differ from those that are wanted, quoting one of each.

    >>> difference(["im00.png", "im01.png"], ["im01", "im02"])
    "its ids carry an ending ('im01.png' for 'im01')"
    """
    present = list(ids)
    if not present:
        return "it holds no id"
    for words, change, wish in _FORMS:
        table = {wish(item): item for item in wanted}
        for item in present:
            if change(item) in table:
                return f"its ids {words} ({item!r} for {table[change(item)]!r})"
    close = get_close_matches(wanted[0], present[:MOST], n=1, cutoff=0.0)
    return f"its ids are others (the nearest to {wanted[0]!r} is {(close or present)[0]!r})"
