"""Images of a split that the cost of networks is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data import Dataset, Split, Transform
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built, build_dataset
from frugalmtl.experiment.runs.streams.loaders import make_transform

MOST_IMAGES = 200
MOST_BYTES = 1 << 29
"""Memory that the images of one network may take; of large ones there are fewer."""


class NetworkImages(Sequence[Tensor]):
    """The first images of a split as a network takes them, normalised, ``[3, H, W]`` each.

    They stand in stored order, and each is loaded when it is first looked at, once.

    Args:
        samples: of the split.
        transform: into what the network takes; without labels.
    """

    def __init__(self, samples: Split, transform: Transform) -> None:
        height, width = transform.size
        self.samples, self.transform = samples, transform
        self._places = range(min(MOST_IMAGES, max(8, MOST_BYTES // (3 * 4 * height * width)), len(samples)))
        self._loaded: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        """An image, or several."""
        if isinstance(index, slice):
            return [self[place] for place in self._places[index]]
        place = self._places[index]
        if place not in self._loaded:
            self._loaded[place] = self.transform(self.samples.load(place)).image
        return self._loaded[place]


class SplitImages:
    """The first images of a split, loaded once for all networks that take them alike.

    Args:
        dataset: with the split ready.
        split: its name.
    """

    def __init__(self, dataset: Dataset, split: str) -> None:
        self.dataset, self.split = dataset, split
        self._images: dict[tuple[object, ...], NetworkImages] = {}

    @classmethod
    def of(cls, config: Experiment) -> SplitImages:
        """Those of an experiment's test split, which is made ready.

        Raises:
            UserError: it has no data, or they lack the split.
        """
        dataset = build_dataset(config)
        dataset.prepare([config.test_split])
        return cls(dataset, config.test_split)

    def seen_by(self, built: Built, config: Experiment) -> NetworkImages:
        """The images as an experiment's network takes them.

        Raises:
            UserError: the split has none.
        """
        backbone = built.backbone
        key = (built.image_size, tuple(backbone.mean), tuple(backbone.std), config.fit, config.fill)
        if key not in self._images:
            samples = self.dataset.split(self.split)
            if not len(samples):
                raise UserError(f"split {self.split!r} has no image to measure the cost of a network on")
            self._images[key] = NetworkImages(samples, make_transform(built, (), config, training=False))
        return self._images[key]
