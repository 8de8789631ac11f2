"""Datasets: samples with any subset of labels, in named splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

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


class Split(Protocol):
    """Indexable samples of one split. ``load`` is called in worker processes."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> Sample:
        """The sample at ``index`` (0-based)."""
        ...


class Dataset:
    """A source of splits. Constructors take their config as keyword-only arguments and check it without loading images.

    Attributes:
        tasks: what the dataset has labels for.
        splits: names of the splits (``"train"``, ``"val"``, ``"test"``, ...).
        image_size: height and width of the images, or ``None`` where they differ (the experiment has to say one).
    """

    tasks: tuple[Task, ...]
    splits: tuple[str, ...]
    image_size: tuple[int, int] | None = None

    def prepare(self, names: Sequence[str]) -> None:
        """Make ready what the splits need (render, unpack), with a progress bar where it takes time."""

    def split(self, name: str) -> Split:
        """The samples of one split.

        Raises:
            UserError: no split of that name.
        """
        raise NotImplementedError
