"""Parts of a split by a hash of the sample's id: disjoint, and the same whatever else the split holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.base import Sample, Split
from frugalmtl.data.counting import Examined
from frugalmtl.data.problems import Problem
from frugalmtl.tasks import Task

_PURPOSE = "part:"
"""Begins what is hashed for a part. A dataset whose splits are shares hashes ids alone: by the same hash, one of its
splits would lie in one part as a whole."""


def hashed(text: str) -> float:
    """A text's place in [0, 1): the first 53 bits of its SHA-256, the same on every machine."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def part(split: Split, start: float, stop: float) -> Split:
    """The samples of a split whose hash lies in ``[start, stop)``, in the split's order.

    Parts that do not overlap share no sample, and no sample moves to another part when samples are added, removed or
    reordered. The sizes of parts follow their shares by chance: the fewer samples, the less closely.

    Raises:
        UserError: the bounds are not ``0 <= start < stop <= 1``; the samples have no ids; or none lies in the part.
    """
    if not 0.0 <= start < stop <= 1.0:
        raise UserError(f"a part of a split needs 0 <= start < stop <= 1, but got [{start:g}, {stop:g})")
    if (start, stop) == (0.0, 1.0):
        return split
    if len(split) and len(split.ids) != len(split):
        raise UserError(
            f"a part of a split is taken by the ids of its samples, but {len(split.ids)} of {len(split)} have one: "
            "let 'ids' of the dataset's split name them all"
        )
    indices = [index for index, name in enumerate(split.ids) if start <= hashed(_PURPOSE + name) < stop]
    if not indices:
        raise UserError(
            f"the part [{start:g}, {stop:g}) of the split holds 0 of its {len(split)} samples: take a larger part, or "
            "add samples"
        )
    return SplitPart(split, indices, (start, stop))


class SplitPart(Split):
    """Some samples of a split; what it says of a sample is what the split says of it.

    Args:
        whole: the split.
        indices: of the samples in it, in their order here.
        share: the part that they are, for messages.
    """

    def __init__(self, whole: Split, indices: Sequence[int], share: tuple[float, float]) -> None:
        self.whole, self.indices, self.share = whole, tuple(indices), share

    def __len__(self) -> int:
        return len(self.indices)

    def load(self, index: int) -> Sample:
        """The sample at ``index`` of the part.

        Raises:
            UserError: it cannot be used.
        """
        return self.whole.load(self.indices[index])

    def label(self, index: int, task: str) -> Tensor | None:
        """The label of one task of the sample at ``index`` of the part."""
        return self.whole.label(self.indices[index], task)

    @property
    def ids(self) -> Sequence[str]:
        """Names of the samples, as in the split."""
        names = self.whole.ids
        return [names[index] for index in self.indices]

    @property
    def decoded(self) -> bool:
        """Whether the samples of the split lie decoded in memory."""
        return self.whole.decoded

    @property
    def skipped(self) -> Sequence[Problem]:
        """Those of the split: files that are no samples lie in no part."""
        return self.whole.skipped

    def has_image(self, index: int) -> bool:
        """Whether the image at ``index`` of the part exists."""
        return self.whole.has_image(self.indices[index])

    def has_label(self, index: int, task: str) -> bool:
        """Whether the sample at ``index`` of the part has a label of a task."""
        return self.whole.has_label(self.indices[index], task)

    def absence(self, task: str) -> Problem:
        """The reason why no sample of the part has a label of a task."""
        elsewhere = self.whole.labelled(task)
        if not elsewhere:
            return self.whole.absence(task)
        start, stop = self.share
        what = (
            f"0 of {len(self)} samples have a label of task {task!r}, of which the whole split has {elsewhere} in "
            f"{len(self.whole)}"
        )
        return Problem(f"part [{start:g}, {stop:g})", what, "at least one", "take a larger part, or leave the task out")

    def listed_problems_of(self, index: int, tasks: Sequence[str]) -> list[Problem]:
        """What is wrong with the sample at ``index`` of the part that can be seen without opening a file."""
        return self.whole.listed_problems_of(self.indices[index], tasks)

    def listed_problems(self, tasks: Sequence[str]) -> list[Problem]:
        """The same of all its samples; of a split without any image, that of the split."""
        return super().listed_problems(tasks) if self.whole.present() else self.whole.listed_problems(tasks)

    def examine(self, index: int, tasks: Sequence[Task]) -> Examined:
        """What else is wrong with the sample at ``index`` of the part, and what its labels hold."""
        return self.whole.examine(self.indices[index], tasks)
