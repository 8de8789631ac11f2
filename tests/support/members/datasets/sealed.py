"""Dataset of noise that writes down every sample that is loaded, and whose test split may be sealed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from frugalmtl.core.checks import UserError
from frugalmtl.data import Dataset, Sample, Split
from frugalmtl.tasks.depth import depth
from frugalmtl.tasks.segmentation import segmentation


class Sealed(Dataset):
    """Noise with labels of two tasks.

    Args:
        log: file that gets a line ``SPLIT ID`` for every sample that is loaded.
        sealed: whether a sample of the test split raises.
        train: images in the split ``train``.
    """

    splits = ("train", "val", "test")
    image_size = (32, 32)

    def __init__(self, *, log: str, sealed: bool = False, train: int = 40) -> None:
        self.tasks = (segmentation(classes=("one", "two", "three")), depth(start="random"))
        self.log, self.sealed = Path(log), sealed
        self.counts = {"train": train, "val": 8, "test": 8}

    def split(self, name: str) -> NoiseSplit:
        return NoiseSplit(self, name)


class NoiseSplit(Split):
    """One split of :class:`Sealed`."""

    def __init__(self, dataset: Sealed, name: str) -> None:
        self.dataset, self.name = dataset, name

    def __len__(self) -> int:
        return self.dataset.counts[self.name]

    @property
    def ids(self) -> Sequence[str]:
        return [f"{self.name}{index}" for index in range(len(self))]

    def load(self, index: int) -> Sample:
        with self.dataset.log.open("a") as log:
            log.write(f"{self.name} {self.ids[index]}\n")
        if self.name == "test" and self.dataset.sealed:
            raise UserError("the test split was opened")
        source = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=source)
        labels = {"segmentation": image[0].long() % 3, "depth": 1.0 + image[1:2].float() / 255}
        return Sample(image, labels, self.ids[index])
