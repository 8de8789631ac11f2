"""Files of a folder dataset that take no part: those of no pattern, labels without an image, images in no list."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from frugalmtl.core.terminal import visible
from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.patterns import ANY, Pattern
from frugalmtl.data.problems import Note

_NO_DATA = frozenset("txt md csv tsv yaml yml json xml ini db log html pdf zip".split())
"""Endings, in small letters, of files that lie beside images and labels and are none."""


@dataclass(frozen=True)
class NamedPattern:
    """A pattern and what its files are, in words.

    Attributes:
        what: such as ``"task 'depth'"``; empty for images.
        pattern: of the files.
    """

    what: str
    pattern: Pattern


def unused_files(
    images: Pattern, labels: Sequence[NamedPattern], members: Iterable[Collection[str]], listing: Listing
) -> list[Note]:
    """What lies in the folders of the patterns and takes no part; nothing is opened.

    Args:
        images: pattern of the images.
        labels: patterns of the labels.
        members: ids of every split.
        listing: of the root.
    """
    ids = images.ids(listing)
    patterns = [NamedPattern("", images), *labels]
    used = {file for item in patterns for name in ids for file in item.pattern.files(name, listing)}
    listed = {name for names in members for name in names}
    unlisted = [images.files(name, listing)[0] for name in ids if name not in listed]
    unlisted = [visible(file) for file in unlisted if _may_be_data(PurePosixPath(file))]
    notes = []
    if unlisted and listed:
        notes.append(
            Note(f"{_count(unlisted, 'image')} in no split", tuple(unlisted), "add the ids to a list, if wanted")
        )
    rest = [file for file in _candidates(patterns, listing) if file not in used]
    alone = defaultdict[str, list[str]](list)
    nobodys = defaultdict[str, list[str]](list)
    for file in rest:
        matching = next((item.what for item in labels if _id_of(item.pattern, file) is not None), None)
        if matching is None:
            nobodys[str(PurePosixPath(file).parent)].append(file)
        else:
            alone[matching].append(file)
    for what, files in alone.items():
        names = tuple(map(visible, files))
        notes.append(Note(f"{_count(files, 'label file')} of {what} without an image", names))
    for folder, files in nobodys.items():
        what = (
            f"{_count(files, 'file')} in {'the root' if folder == '.' else f'{visible(folder)}/'} that no pattern took"
        )
        notes.append(Note(what, tuple(map(visible, files)), _remedy(patterns, files, set(ids), listing)))
    return notes


def _count(files: Collection[str], what: str) -> str:
    return f"{len(files)} {what}{'s' * (len(files) != 1)}"


def _candidates(patterns: Sequence[NamedPattern], listing: Listing) -> list[str]:
    """Files, in or below the folders of the patterns, that may be images or labels."""
    files = {file for item in patterns for file in listing.walk(item.pattern.folder)}
    return sorted(file for file in files if _may_be_data(PurePosixPath(file)))


def _may_be_data(file: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in file.parts)
    return not hidden and bool(file.suffix) and file.suffix[1:].lower() not in _NO_DATA


def _id_of(pattern: Pattern, file: str) -> str | None:
    """The id that a file would have by a pattern."""
    endings = ["" if pattern.endings == (ANY,) else re.escape(ending) for ending in pattern.endings] or [""]
    last = r"[^./]+" if pattern.endings == (ANY,) else f"(?:{'|'.join(endings)})"
    match = re.fullmatch(f"{re.escape(pattern.before)}(.+){re.escape(pattern.after)}{last}", file, flags=re.DOTALL)
    return None if match is None else match[1]


def _remedy(patterns: Sequence[NamedPattern], files: Sequence[str], ids: Collection[str], listing: Listing) -> str:
    """The pattern that would take the files by one more ending, if there is one."""
    for item in patterns:
        pattern = item.pattern
        if pattern.endings == (ANY,):
            continue
        start, _, ending = pattern.after.rpartition(".")
        known = pattern.endings or (ending,)
        wide = Pattern("", pattern.before, pattern.after if pattern.endings else f"{start}.", (ANY,))
        names = {file: _id_of(wide, file) for file in files}
        # Images are wanted where they are new, labels where an image lacks one: a second file of an id is a problem.
        wanted = {name for name in names.values() if name and (name in ids) == bool(item.what)}
        fitting = [file for file, name in names.items() if name in wanted and not pattern.files(name, listing)]
        if fitting:
            more = dict.fromkeys([*known, *(PurePosixPath(file).suffix[1:] for file in fitting)])
            text = f"{pattern.before}{{id}}{wide.after}{{{','.join(more)}}}"
            return f"write {visible(text)} for {item.what or 'images'} to take {'it' if len(files) == 1 else 'them'}"
    return ""
