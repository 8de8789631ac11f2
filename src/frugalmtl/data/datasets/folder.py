"""A user's own images and labels, declared in a small YAML file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from torch import Tensor

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.files import read_text
from frugalmtl.core.names import path_part, task_name
from frugalmtl.data.attribute_table import AttributeTable
from frugalmtl.data.base import Dataset, Sample
from frugalmtl.data.encodings import Encoding, encoding, orientation, read_image, read_label
from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.data.sample_problems import sample_problems
from frugalmtl.tasks import TASKS, Task

_KEYS = ("root", "images", "tasks", "splits")
_TASK_KEYS = ("kind", "files", "encoding", "table")


@dataclass(frozen=True)
class Source:
    """Where a task's labels are.

    Attributes:
        task: the task.
        pattern: file per image with ``{id}``, relative to the root; empty for a table.
        encoding: how such a file is read.
        table: labels of all images, for tasks without a map.
    """

    task: Task
    pattern: str = ""
    encoding: Encoding | None = None
    table: AttributeTable | None = None


class Folder(Dataset):
    """Your own images with any subset of labels per image, declared in a YAML file.

    ::

        root: photos                    # relative to this file; nothing outside it is read
        images: images/{id}.jpg
        tasks:
          segmentation: {kind: segmentation, classes: [floor, wall, other], files: "classes/{id}.png"}
          depth: {kind: depth, files: "depth/{id}.png", encoding: {name: scaled, scale: 0.001}}    # from millimetres
          normals: {kind: normals, files: "normals/{id}.png", encoding: vectors}
          weather: {kind: classification, classes: [sunny, wet], table: weather.csv}
        splits: {train: 0.8, val: 0.1, test: 0.1}      # by a hash of the id; or {train: ids.txt, ...}: an id per line

    A label file that does not exist is a missing label. ``frugalmtl data check`` reports every file that is of no use.

    Args:
        file: path of the YAML file.

    Raises:
        UserError: a key, path or value that does not fit; no image is opened.
    """

    def __init__(self, *, file: str) -> None:
        path = Path(file)
        try:
            content = yaml.safe_load(read_text(path, "dataset file"))
        except yaml.YAMLError as error:
            raise UserError(f"dataset file {path} is not valid YAML: {error}") from None
        section = _mapping(content, f"dataset file {path}")
        for key in section:
            known(f"key in {path}:", key, _KEYS)
        missing = [key for key in _KEYS if key not in section]
        if missing:
            raise UserError(f"dataset file {path} lacks {', '.join(missing)}: add it")
        self.root = (path.parent / str(section["root"])).resolve()
        if not self.root.is_dir():
            raise UserError(f"root {self.root} of {path} is not a folder: correct 'root' (relative to the file)")
        self.images = _pattern(section["images"], "images")
        tasks = _mapping(section["tasks"], "'tasks'")
        if not tasks:
            raise UserError(f"dataset file {path} declares no task: add one under 'tasks'")
        self.sources = tuple(self._source(name, _mapping(item, f"task {name!r}")) for name, item in tasks.items())
        self.tasks = tuple(source.task for source in self.sources)
        self._splits = self._read_splits(_mapping(section["splits"], "'splits'"))
        self.splits = tuple(self._splits)

    def split(self, name: str) -> FolderSplit:
        """The samples of one split.

        Raises:
            UserError: no split of that name, or nothing in it.
        """
        ids = self._splits[known("split", name, self._splits)]
        if not ids:
            raise UserError(
                f"split {name!r} is empty: no image under {self.root} matches {self.images} or its list or share"
            )
        return FolderSplit(self.root, self.images, self.sources, ids)

    def _source(self, name: str, section: Mapping[str, Any]) -> Source:
        task_name(name)
        arguments = {key: value for key, value in section.items() if key not in _TASK_KEYS}
        if "kind" not in section:
            raise UserError(f"task {name!r} lacks 'kind': expected one of {', '.join(TASKS.names())}")
        if "name" in arguments:
            raise UserError(f"task {name!r}: the key under 'tasks' is its name; remove 'name'")
        task: Task = replace(TASKS.build({"name": str(section["kind"]), **arguments}), name=name)
        wanted, other = ("files", "table") if task.dense else ("table", "files")
        if wanted not in section or other in section:
            raise UserError(f"task {name!r} takes its labels from {wanted!r}, not from {other!r}: state {wanted!r}")
        if task.dense:
            pattern = _pattern(section["files"], f"files of task {name!r}")
            return Source(task, pattern, encoding(section.get("encoding"), task, pattern))
        if "encoding" in section:
            raise UserError(f"task {name!r} reads a table, which has no 'encoding': remove it")
        return Source(
            task, table=AttributeTable(inside(self.root, _relative(section["table"], f"table of {name!r}")), task)
        )

    def _read_splits(self, section: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        if not section:
            raise UserError("'splits' is empty: state lists ({train: train.txt}) or shares ({train: 0.8, val: 0.2})")
        for name in section:
            path_part("split", name)
        shares = [value for value in section.values() if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(shares) == len(section):
            return self._by_share({name: float(value) for name, value in section.items()})
        if shares or not all(isinstance(value, str) for value in section.values()):
            raise UserError("'splits' must be all lists of ids (file names) or all shares (numbers), not a mixture")
        return {name: self._by_list(name, value) for name, value in section.items()}

    def _by_list(self, name: str, value: str) -> tuple[str, ...]:
        file = inside(self.root, _relative(value, f"list of split {name!r}"))
        ids = [line.strip() for line in read_text(file, f"list of split {name!r}").splitlines() if line.strip()]
        twice = next((one for one, two in pairwise(sorted(ids)) if one == two), None)
        if twice is not None:
            raise UserError(f"{file} holds the id {twice!r} twice: keep one line")
        for item in ids:
            _relative(item, f"id in {file}")
        return tuple(ids)

    def _by_share(self, shares: dict[str, float]) -> dict[str, tuple[str, ...]]:
        if abs(sum(shares.values()) - 1.0) > 1e-6 or min(shares.values()) < 0:
            raise UserError(f"the shares under 'splits' must be 0 or more and add up to 1, but got {shares}")
        chosen: dict[str, list[str]] = {name: [] for name in shares}
        for name in _ids(self.root, self.images):
            place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
            reached = 0.0
            for split, share in shares.items():
                reached += share
                if place < reached or split == list(shares)[-1]:
                    chosen[split].append(name)
                    break
        return {name: tuple(ids) for name, ids in chosen.items()}


class FolderSplit:
    """One split of :class:`Folder`."""

    def __init__(self, root: Path, images: str, sources: Sequence[Source], ids: Sequence[str]) -> None:
        self.root, self.images, self.sources, self.ids = root, images, tuple(sources), tuple(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def load(self, index: int) -> Sample:
        """The sample at ``index`` with the labels that exist.

        Raises:
            BadFileError: the first file that cannot be used.
        """
        name = self.ids[index]
        image = read_image(self._file(self.images, name))
        labels = {source.task.name: self._label(source, name) for source in self.sources}
        return Sample(image, {task: label for task, label in labels.items() if label is not None}, name)

    def problems(self, index: int) -> list[Problem]:
        """Everything that is wrong with the files of one sample."""
        name, problems = self.ids[index], list[Problem]()
        labels: dict[str, Tensor] = {}
        files: dict[str, str] = {}
        image: Tensor | None = None
        try:
            file = self._file(self.images, name)
            image = read_image(file)
            turn = orientation(file)
            if turn != 1:
                what, remedy = f"has EXIF orientation {turn}", "turn the pixels themselves and remove the tag"
                problems.append(Problem(str(file), what, "pixels stored upright, as the labels see them", remedy))
        except BadFileError as error:
            problems.append(error.problem)
        broken = False
        for source in self.sources:
            try:
                label = self._label(source, name, raw=True)
            except BadFileError as error:
                broken = True
                problems.append(error.problem)
                continue
            if label is not None:
                labels[source.task.name] = label
                files[source.task.name] = str(self._file(source.pattern, name)) if source.pattern else f"id {name!r}"
        if not labels and not broken:
            remedy = "check the patterns under 'tasks', or leave the id out"
            problems.append(Problem(name, "has no label for any task", "at least one label", remedy))
        tasks = [source.task for source in self.sources]
        return problems + sample_problems(image, labels, tasks, files)

    def _label(self, source: Source, name: str, raw: bool = False) -> Tensor | None:
        if source.table is not None:
            return source.table.read(name)
        file = self._file(source.pattern, name)
        if source.encoding is None or not file.exists():
            return None
        label = read_label(file, source.task, source.encoding, finite=raw)
        return label if raw else source.task.normalise(label)

    def _file(self, pattern: str, name: str) -> Path:
        return inside(self.root, pattern.replace("{id}", name))


def inside(root: Path, relative: str) -> Path:
    """The file of a relative path, made sure to lie under ``root`` after following links.

    Raises:
        BadFileError: it does not.
    """
    path = root / relative
    if not path.resolve().is_relative_to(root):
        raise BadFileError(
            Problem(str(path), "leads out of the root", f"a file under {root}", "copy the file there or correct 'root'")
        )
    return path


def _relative(value: Any, what: str) -> str:
    text = str(value)
    if PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts or "\0" in text or not text:
        raise UserError(f"{what} must be a path inside the root without '..', but got {text!r}")
    return text


def _pattern(value: Any, what: str) -> str:
    text = _relative(value, what)
    if text.count("{id}") != 1 or any(sign in text.replace("{id}", "") for sign in "{}"):
        raise UserError(f"{what} must hold {{id}} exactly once (images/{{id}}.jpg), but got {text!r}")
    return text


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{what} must be a mapping of keys to values, but holds {type(value).__name__}")
    return {str(key): item for key, item in value.items()}


def _ids(root: Path, pattern: str) -> list[str]:
    """Ids of all files under ``root`` that match ``pattern``, sorted; an id may hold folders."""
    before, after = pattern.split("{id}")
    form = re.compile(re.escape(before) + "(.+)" + re.escape(after))
    start = root / PurePosixPath(before).parent if not before.endswith("/") else root / before
    files = (file.relative_to(root).as_posix() for file in start.rglob("*") if file.is_file())
    return sorted(match.group(1) for file in files if (match := form.fullmatch(file)))
