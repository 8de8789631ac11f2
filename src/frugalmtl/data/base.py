"""Datasets: samples with any subset of labels, in named splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.counting import Examined, examined
from frugalmtl.data.files.decoding import Exif
from frugalmtl.data.problems import BadFileError, Note, Problem
from frugalmtl.tasks import Task


@dataclass
class Sample:
    """One image with the labels that stand for it, as stored (before any transform).

    Attributes:
        image: ``[3, H, W]`` uint8 RGB.
        labels: ``{task: label}`` for the labels that exist; shapes as in :class:`frugalmtl.tasks.base.Task`.
        name: identifier.
    """

    image: Tensor
    labels: dict[str, Tensor] = field(default_factory=dict)
    name: str = ""


class Split:
    """The samples of one split, indexable; ``load`` and ``examine`` are called in worker processes and threads.

    A split that knows its samples without loading them says so by the other members; the defaults stand for one whose
    samples all have a label of every task.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def load(self, index: int) -> Sample:
        """The sample at ``index`` (0-based).

        Raises:
            UserError: it cannot be used.
        """
        raise NotImplementedError

    def label(self, index: int, task: str) -> Tensor | None:
        """The label of one task of the sample at ``index``, as :meth:`load` gives it; None without one.

        Raises:
            UserError: it cannot be used.
        """
        return self.load(index).labels.get(task)

    @property
    def ids(self) -> Sequence[str]:
        """Names of the samples, in the order of the indices; empty if they are known by loading alone."""
        return ()

    @property
    def decoded(self) -> bool:
        """Whether samples lie decoded in memory, or in files that are mapped into it: loading one is a copy."""
        return False

    @property
    def skipped(self) -> Sequence[Problem]:
        """Files that seem to belong to the split and take no part in it, with the reason."""
        return ()

    def has_image(self, index: int) -> bool:  # noqa: ARG002 (of any sample)
        """Whether the image at ``index`` exists; nothing is opened."""
        return True

    def has_label(self, index: int, task: str) -> bool:  # noqa: ARG002 (of any sample and task)
        """Whether the sample at ``index`` has a label of a task, judged by its existence: nothing is opened."""
        return True

    def present(self) -> int:
        """Number of samples whose image exists."""
        return sum(self.has_image(index) for index in range(len(self)))

    def labelled(self, task: str) -> int:
        """Number of samples that have a label of a task."""
        return sum(self.has_label(index, task) for index in range(len(self)))

    def absence(self, task: str) -> Problem:
        """The reason why no sample has a label of a task."""
        what = f"0 of {len(self)} samples have a label of task {task!r}"
        return Problem("split", what, "at least one", "take another split, or leave the task out")

    def listed_problems_of(self, index: int, tasks: Sequence[str]) -> list[Problem]:  # noqa: ARG002 (of any)
        """What is wrong with the sample at ``index`` that can be seen without opening a file, for tasks by name."""
        return []

    def listed_problems(self, tasks: Sequence[str]) -> list[Problem]:
        """What is wrong with samples that can be seen without opening a file, for tasks by name."""
        return [problem for index in range(len(self)) for problem in self.listed_problems_of(index, tasks)]

    def examine(self, index: int, tasks: Sequence[Task]) -> Examined:
        """What else is wrong with the sample at ``index`` and what its labels hold, by reading all its files."""
        try:
            sample = self.load(index)
        except BadFileError as error:
            return Examined([error.problem])
        except (UserError, OSError) as error:
            problem = Problem(f"sample {index}", str(error), "a sample that can be loaded", "correct its files")
            return Examined([problem])
        files = dict.fromkeys(sample.labels, sample.name)
        return examined(
            sample.image, sample.labels, tasks, files, name=sample.name, unlabelled=not sample.labels and bool(tasks)
        )


class Dataset:
    """A source of splits. Constructors take their config as keyword-only arguments and check it without loading images.

    Attributes:
        tasks: what the dataset has labels for.
        splits: names of the splits (``"train"``, ``"val"``, ``"test"``, ...).
        image_size: height and width of the images, or ``None`` where they differ (the experiment has to say one).
        exif: whether images are turned as their EXIF says; photographs that a run predicts are read in the same way.
    """

    tasks: tuple[Task, ...]
    splits: tuple[str, ...]
    image_size: tuple[int, int] | None = None
    exif: Exif = "apply"

    def prepare(self, names: Sequence[str]) -> int:  # noqa: ARG002 (of any)
        """Make ready what the splits need (render, unpack), with a progress bar where it takes time.

        Returns:
            Number of files written; 0 where all was there, or nothing is needed.
        """
        return 0

    def notes(self) -> list[Note]:
        """What is worth a look beside the splits: files that take no part."""
        return []

    def split(self, name: str) -> Split:
        """The samples of one split.

        Raises:
            UserError: no split of that name.
        """
        raise NotImplementedError
