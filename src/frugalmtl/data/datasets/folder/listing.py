"""Listings of folders: existence of files by one scan of each folder, not by a call per file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from frugalmtl.data.problems import BadFileError, Problem

_APPLE = "._"
"""Files of this beginning are notes of macOS about the file of the rest of the name."""


class Listing:
    """Files and folders below a root, each folder scanned once, when it is first asked for.

    A copy that is pickled is empty: processes that load samples scan for themselves.

    Args:
        root: absolute path of a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._scanned: dict[str, tuple[frozenset[str], frozenset[str], dict[str, list[str]]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "_scanned": {}}

    def files(self, folder: str) -> frozenset[str]:
        """Names of the files in a folder (a path relative to the root); none if there is no such folder."""
        return self._scan(folder)[0]

    def folders(self, folder: str) -> frozenset[str]:
        """Names of the folders in a folder."""
        return self._scan(folder)[1]

    def endings(self, folder: str, stem: str) -> list[str]:
        """The endings, without the dot, that files called ``stem`` have in a folder, sorted."""
        return self._scan(folder)[2].get(stem, [])

    def exists(self, relative: str) -> bool:
        """Whether a path relative to the root is a file."""
        folder, name = os.path.split(relative)
        return name in self.files(folder)

    def walk(self, folder: str) -> Iterator[str]:
        """Paths, relative to the root, of all files in a folder and those below it; linked folders are not entered."""
        start = self.root / folder
        for place, _, names in os.walk(start):
            inner = os.path.relpath(place, self.root)
            before = "" if inner == os.curdir else f"{PurePosixPath(inner).as_posix()}/"
            listed = self.files(before.rstrip("/"))
            yield from (f"{before}{name}" for name in names if name in listed)

    def path(self, relative: str) -> Path:
        """The absolute path of a relative one, made sure to lie under the root after following links.

        Raises:
            BadFileError: it does not.
        """
        path = self.root / relative
        if not path.resolve().is_relative_to(self.root):
            remedy = "copy the file there or correct 'root'"
            raise BadFileError(Problem(str(path), "leads out of the root", f"a file under {self.root}", remedy))
        return path

    def _scan(self, folder: str) -> tuple[frozenset[str], frozenset[str], dict[str, list[str]]]:
        if folder not in self._scanned:
            files: set[str] = set()
            folders: set[str] = set()
            stems: dict[str, list[str]] = {}
            try:
                with os.scandir(self.root / folder) as entries:
                    for entry in entries:
                        if entry.is_dir():
                            folders.add(entry.name)
                        elif entry.is_file() and not entry.name.startswith(_APPLE):
                            files.add(entry.name)
                            stem, dot, ending = entry.name.rpartition(".")
                            if dot:
                                stems.setdefault(stem, []).append(ending)
            except OSError:
                pass  # no such folder, or one that cannot be read: nothing in it exists for us
            for endings in stems.values():
                endings.sort()
            self._scanned[folder] = frozenset(files), frozenset(folders), stems
        return self._scanned[folder]
