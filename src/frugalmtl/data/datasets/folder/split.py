"""Split of a folder dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from frugalmtl.data.base import Sample, Split
from frugalmtl.data.counting import Examined, examined
from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.nearest import difference, nearest_file
from frugalmtl.data.datasets.folder.patterns import Pattern
from frugalmtl.data.datasets.folder.sources import Source, same_id, the_file
from frugalmtl.data.files import Exif, read_image
from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.data.sample_problems import turned_problem
from frugalmtl.tasks import Task


@dataclass(frozen=True)
class SplitMembers:
    """The samples of a split by id.

    Attributes:
        split: name of the split.
        origin: the list that they stand in, or the pattern that they match.
        ids: in the order of the samples.
        skipped: files that match the pattern of images and take no part.
    """

    split: str
    origin: str
    ids: tuple[str, ...]
    skipped: tuple[Problem, ...] = ()


class FolderSplit(Split):
    """One split of a folder dataset.

    Args:
        members: the ids.
        images: pattern of the images.
        sources: of labels.
        listing: of the root.
        exif: whether images are turned as their EXIF says.
    """

    def __init__(
        self,
        members: SplitMembers,
        images: Pattern,
        sources: Sequence[Source],
        listing: Listing,
        exif: Exif = "apply",
    ) -> None:
        self.members, self.images, self.sources, self.listing = members, images, tuple(sources), listing
        self.exif: Exif = exif
        self._labelled: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.members.ids)

    @property
    def ids(self) -> Sequence[str]:
        """The ids, in the order of the list or sorted."""
        return self.members.ids

    @property
    def skipped(self) -> Sequence[Problem]:
        """Images whose names cannot stand in a list or log."""
        return self.members.skipped

    def load(self, index: int) -> Sample:
        """The sample at ``index`` with the labels that exist.

        Raises:
            BadFileError: the first file that cannot be used.
        """
        name = self.ids[index]
        image = _image_of(self, name)
        labels = dict[str, Tensor]()
        for source in self.sources:
            label = source.label(name)
            if label is None:
                continue
            turned = turned_problem(image, label, source.place(name)) if source.task.dense else None
            if turned is not None:
                raise BadFileError(turned)
            labels[source.task.name] = label
        return Sample(image, labels, name)

    def label(self, index: int, task: str) -> Tensor | None:
        """The label of one task of the sample at ``index``; its image is not opened.

        Raises:
            BadFileError: it cannot be used.
        """
        return self._source(task).label(self.ids[index])

    def has_image(self, index: int) -> bool:
        """Whether the image's file exists."""
        return bool(self.images.files(self.ids[index], self.listing))

    def has_label(self, index: int, task: str) -> bool:
        """Whether the label's file exists, or its row in the table is not empty."""
        return self._source(task).has(self.ids[index])

    def labelled(self, task: str) -> int:
        """Number of samples that have a label of a task; counted once."""
        if task not in self._labelled:
            self._labelled[task] = super().labelled(task)
        return self._labelled[task]

    def absence(self, task: str) -> Problem:
        """The pattern or table of a task, and what exists nearest to it."""
        what = f"0 of {len(self)} images of split {self.members.split!r} have a label of task {task!r}"
        return self._source(task).absence(self.ids, what)

    def listed_problems(self, tasks: Sequence[str]) -> list[Problem]:
        """Images that are not there, several files of one id, cells of tables that cannot be read."""
        return self._listed(self.ids, tasks) if self.present() else [_no_image(self)]

    def listed_problems_of(self, index: int, tasks: Sequence[str]) -> list[Problem]:
        """The same of one sample."""
        return self._listed([self.ids[index]], tasks)

    def _listed(self, names: Sequence[str], tasks: Sequence[str]) -> list[Problem]:
        images = {name: self.images.files(name, self.listing) for name in names}
        problems = [_missing(self, name) for name, files in images.items() if not files]
        problems += [same_id(files, name) for name, files in images.items() if len(files) > 1]
        sources = [source for source in self.sources if source.task.name in tasks]
        wrong = ((source.task.name, source.listed_problem(name)) for name in names for source in sources)
        return problems + [replace(problem, task=task) for task, problem in wrong if problem is not None]

    def examine(self, index: int, tasks: Sequence[Task]) -> Examined:
        """What is wrong with the pixels and values of one sample, and what its labels hold."""
        name, problems = self.ids[index], list[Problem]()
        labels: dict[str, Tensor] = {}
        files: dict[str, str] = {}
        image: Tensor | None = None
        images = self.images.files(name, self.listing)
        if not images:
            return Examined([])
        if len(images) == 1:
            try:
                image = _image_of(self, name)
            except BadFileError as error:
                problems.append(error.problem)
        sources = [source for source in self.sources if source.task.name in {task.name for task in tasks}]
        for source in sources:
            if source.listed_problem(name) is not None:
                continue
            try:
                label = source.label(name, raw=True)
            except BadFileError as error:
                problems.append(replace(error.problem, task=source.task.name))
                continue
            if label is not None:
                labels[source.task.name], files[source.task.name] = label, source.place(name)
        unlabelled = bool(sources) and not any(source.has(name) for source in sources)
        return examined(image, labels, tasks, files, name=name, earlier=problems, unlabelled=unlabelled)

    def _source(self, task: str) -> Source:
        return next(source for source in self.sources if source.task.name == task)


def _image_of(split: FolderSplit, name: str) -> Tensor:
    return read_image(the_file(split.images, split.listing, name), split.exif)


def _missing(split: FolderSplit, name: str) -> Problem:
    """The problem that an image of the list is not there."""
    file = split.images.example(name)
    remedy = f"{nearest_file(split.listing, file)}; add the image, or correct the id in {split.members.origin}"
    return Problem(str(split.listing.root / file), "does not exist", "an image", remedy)


def _no_image(split: FolderSplit) -> Problem:
    """The problem that no id of the list is one of an image."""
    present = split.images.ids(split.listing)
    example = split.images.example(split.ids[0])
    nearest = nearest_file(split.listing, example)
    reason = f"{difference(split.ids, present)}; correct the ids" if present else f"{nearest}; correct 'images'"
    what = f"0 of {len(split)} images of split {split.members.split!r} exist"
    return Problem(split.members.origin, what, f"files such as {example}", reason)
