"""Datasets: files on disk, or pictures made on the spot, to batches."""

from frugalmtl.core.registry import Registry
from frugalmtl.data.augmentation import PRESETS, Augmentation, augmentation, preset
from frugalmtl.data.base import Dataset, Sample, Split
from frugalmtl.data.loading import Loader, collate
from frugalmtl.data.transforms import Example, Transform

DATASETS = Registry("frugalmtl.data.datasets", "dataset")

__all__ = [
    "DATASETS",
    "PRESETS",
    "Augmentation",
    "Dataset",
    "Example",
    "Loader",
    "Sample",
    "Split",
    "Transform",
    "augmentation",
    "collate",
    "preset",
]
