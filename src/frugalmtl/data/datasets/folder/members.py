"""SplitMembers of the splits of a folder dataset: lists of ids, or shares by a hash of the id."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from typing import Any

from frugalmtl.core.checks import UserError, not_negative, shown
from frugalmtl.core.files import read_text
from frugalmtl.core.names import path_part
from frugalmtl.core.terminal import visible
from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.patterns import Pattern, relative_path, unprintable
from frugalmtl.data.datasets.folder.split import SplitMembers
from frugalmtl.data.parts import hashed
from frugalmtl.data.problems import Problem


def members_of_splits(section: Mapping[str, Any], images: Pattern, listing: Listing) -> dict[str, SplitMembers]:
    """The members of each split that the section ``splits`` names.

    Args:
        section: ``{train: train.txt, ...}`` (a list of ids per split) or ``{train: 0.8, ...}`` (shares).
        images: pattern of the images.
        listing: of the root.

    Raises:
        UserError: neither lists alone nor shares alone, a name that cannot be part of a path, a list that cannot be
            read, or shares that do not add up.
    """
    if not section:
        raise UserError("'splits' is empty: state lists ({train: train.txt}) or shares ({train: 0.8, val: 0.2})")
    for name in section:
        path_part("split", name)
    shares = [value for value in section.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(shares) == len(section):
        return _by_share(dict(section), images, listing)
    for name, value in section.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UserError(
                f"split {name!r} must be a list of ids (the name of a file) or a share (a number), "
                f"but got {shown(value)}"
            )
    if shares:
        raise UserError("'splits' must be all lists of ids (file names) or all shares (numbers), not a mixture")
    return {name: _by_list(name, value, listing) for name, value in section.items()}


def _by_list(split: str, value: str, listing: Listing) -> SplitMembers:
    what = f"list of split {split!r}"
    file = listing.path(relative_path(value, what))
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(file, what).split("\n"), 1):
        name = _unquoted(line.strip())
        if not name:
            continue
        if name in lines:
            raise UserError(
                f"{file} holds the id {shown(name)} twice (lines {lines[name]} and {number}): keep one line"
            )
        relative_path(name, f"id in line {number} of {file}")
        lines[name] = number
    return SplitMembers(split, str(file), tuple(lines))


def _unquoted(line: str) -> str:
    """An id as it is where a spreadsheet put it in quotes."""
    return next(csv.reader([line]), [""])[0].strip() if len(line) > 1 and line[0] == line[-1] == '"' else line


def _by_share(shares: dict[str, float], images: Pattern, listing: Listing) -> dict[str, SplitMembers]:
    for split, share in shares.items():
        not_negative(f"the share of split {split!r}", share)
    if not _whole(shares.values()):
        total = sum(shares.values())
        parts = [round(share / total, 4) for share in shares.values()] if total else []
        *first, last = [f"{part:g}" for part in parts] or [""]
        remedy = f": write {' and '.join(filter(None, [', '.join(first), last]))}" if _whole(parts) else ""
        raise UserError(f"the shares under 'splits' must add up to 1, but they add up to {total:g}{remedy}")
    chosen: dict[str, list[str]] = {name: [] for name in shares}
    skipped: dict[str, list[Problem]] = {name: [] for name in shares}
    for name in images.ids(listing):
        split = _split_of(name, shares)
        if unprintable(name):
            skipped[split].append(_unfit(images.files(name, listing)[0]))
        else:
            chosen[split].append(name)
    return {name: SplitMembers(name, images.text, tuple(chosen[name]), tuple(skipped[name])) for name in shares}


def _whole(shares: Iterable[float]) -> bool:
    """Whether shares add up to one."""
    return abs(sum(shares) - 1.0) <= 1e-6


def _split_of(name: str, shares: Mapping[str, float]) -> str:
    """The split of an id: its hash, a place between 0 and 1, never moves when images are added."""
    place, reached = hashed(name), 0.0
    for split, share in shares.items():
        reached += share
        if place < reached:
            return split
    return list(shares)[-1]


def _unfit(file: str) -> Problem:
    what = "has a name with bytes that are no UTF-8, or with control characters, and is left out"
    return Problem(visible(file), what, "a name that a list and a log can hold", "rename the file")
