"""Folder dataset: the declaration of a user's images and labels, read and checked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.documents import mapping, read_yaml_mapping
from frugalmtl.core.names import task_name
from frugalmtl.data.attribute_table import AttributeTable
from frugalmtl.data.base import Dataset
from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.members import members_of_splits
from frugalmtl.data.datasets.folder.nearest import nearest_file
from frugalmtl.data.datasets.folder.patterns import Pattern, path_text, relative_path
from frugalmtl.data.datasets.folder.sources import FileSource, Source, TableSource
from frugalmtl.data.datasets.folder.split import FolderSplit, SplitMembers
from frugalmtl.data.datasets.folder.unused import NamedPattern, unused_files
from frugalmtl.data.encodings import encoding
from frugalmtl.data.files import Exif, exif_rule
from frugalmtl.data.problems import Note
from frugalmtl.tasks import make_task

_KEYS = ("root", "images", "tasks", "splits")
_OPTIONS = ("exif",)
_TASK_KEYS = ("files", "encoding", "table")


class Folder(Dataset):
    """Your own images with any subset of labels per image, declared in a YAML file.

    ::

        root: photos                    # relative to this file; nothing outside it is read
        images: images/{id}.jpg         # or images/{id}.{jpg,png,JPG}, or images/{id}.* for any ending
        tasks:
          segmentation: {kind: segmentation, classes: [floor, wall, other], files: "classes/{id}.png"}
          depth: {kind: depth, files: "depth/{id}.png", encoding: {name: scaled, scale: 0.001}}    # from millimetres
          normals: {kind: normals, files: "normals/{id}.png", encoding: vectors}
          weather: {kind: classification, classes: [sunny, wet], table: weather.csv}
        splits: {train: 0.8, val: 0.1, test: 0.1}      # by a hash of the id; or {train: ids.txt, ...}: an id per line
        exif: apply                     # images and labels are turned as viewers show them; ignore: pixels as stored

    A label file that does not exist is a missing label. ``frugalmtl data check`` reports every file that is of no use.

    Args:
        file: path of the YAML file.

    Raises:
        UserError: a key, path or value that does not fit; no image is opened.
    """

    def __init__(self, *, file: str) -> None:
        self._file = Path(file)
        section = read_yaml_mapping(self._file, "dataset file")
        self._opened: dict[str, FolderSplit] = {}
        with self._named():
            self._declare(section)

    def _declare(self, section: Mapping[str, Any]) -> None:
        """Take over what the file declares."""
        for key in section:
            known("key:", key, (*_KEYS, *_OPTIONS))
        missing = [key for key in _KEYS if key not in section]
        if missing:
            raise UserError(f"lacks {', '.join(missing)}: add it")
        self.root = (self._file.parent / path_text(section["root"], "root")).resolve()
        if not self.root.is_dir():
            raise UserError(f"root {self.root} is not a folder: correct 'root' (relative to the file)")
        self._listing = Listing(self.root)
        self.images = Pattern.of(section["images"], "images")
        self.exif: Exif = exif_rule(section.get("exif", "apply"))
        tasks = mapping(section["tasks"], "'tasks'")
        if not tasks:
            raise UserError("declares no task: add one under 'tasks'")
        self.sources = tuple(self._source(name, mapping(item, f"task {name!r}")) for name, item in tasks.items())
        self.tasks = tuple(source.task for source in self.sources)
        self._members = members_of_splits(mapping(section["splits"], "'splits'"), self.images, self._listing)
        self.splits = tuple(self._members)

    def split(self, name: str) -> FolderSplit:
        """The samples of one split.

        Raises:
            UserError: no split of that name, or nothing in it.
        """
        members = self._members[known("split", name, self._members)]
        if name in self._opened:
            return self._opened[name]
        if not members.ids:
            with self._named():
                self._refuse_empty(members)
        self._opened[name] = FolderSplit(members, self.images, self.sources, self._listing, self.exif)
        return self._opened[name]

    def notes(self) -> list[Note]:
        """Files in the folders of the patterns that take no part."""
        labels = [
            NamedPattern(f"task {source.task.name!r}", source.pattern)
            for source in self.sources
            if isinstance(source, FileSource)
        ]
        return unused_files(self.images, labels, [item.ids for item in self._members.values()], self._listing)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file in the message of whatever mistake is in it."""
        try:
            yield
        except UserError as error:
            raise UserError(f"dataset file {self._file}: {error}") from None

    def _refuse_empty(self, members: SplitMembers) -> NoReturn:
        """Raise the reason why a split has no samples."""
        if members.origin != self.images.text:
            raise UserError(f"split {members.split!r} is empty: {members.origin} holds no id; write one per line")
        if any(others.ids for others in self._members.values()):
            raise UserError(f"split {members.split!r} is empty: its share of the images is too small; make it larger")
        nearest = nearest_file(self._listing, self.images.example("id"))
        raise UserError(
            f"split {members.split!r} is empty: no file under {self.root} matches {self.images.text}; {nearest}"
        )

    def _source(self, name: str, section: Mapping[str, Any]) -> Source:
        task_name(name)
        if "name" in section:
            raise UserError(f"task {name!r}: the key under 'tasks' is its name; remove 'name'")
        task = make_task(section, name, apart=_TASK_KEYS)
        wanted, other = ("files", "table") if task.dense else ("table", "files")
        if wanted not in section or other in section:
            raise UserError(f"task {name!r} takes its labels from {wanted!r}, not from {other!r}: state {wanted!r}")
        if task.dense:
            pattern = Pattern.of(section["files"], f"files of task {name!r}")
            chosen = encoding(section.get("encoding"), task, pattern.text)
            return FileSource(task, pattern, chosen, self._listing, self.exif)
        if "encoding" in section:
            raise UserError(f"task {name!r} reads a table, which has no 'encoding': remove it")
        file = self._listing.path(relative_path(section["table"], f"table of {name!r}"))
        return TableSource(task, AttributeTable(file, task))
