"""Datasets: files on disk, or rendered pictures, to batches."""

from frugalmtl.core.registry import Registry
from frugalmtl.data.augmentation import PRESETS, Augmentation, augmentation, preset
from frugalmtl.data.base import Dataset, Sample, Split
from frugalmtl.data.check import check
from frugalmtl.data.loading import Loader, collate
from frugalmtl.data.parts import part
from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.data.transforms import Example, Transform

DATASETS = Registry("frugalmtl.data.datasets", "dataset")

__all__ = [
    "DATASETS",
    "PRESETS",
    "Augmentation",
    "BadFileError",
    "Dataset",
    "Example",
    "Loader",
    "Problem",
    "Sample",
    "Split",
    "Transform",
    "augmentation",
    "check",
    "collate",
    "part",
    "preset",
]
