"""Datasets: files on disk, or rendered pictures, to batches."""

import lazy_loader

from frugalmtl.core.registry import Registry

DATASETS = Registry("frugalmtl.data.datasets", "dataset")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["DATASETS"]
