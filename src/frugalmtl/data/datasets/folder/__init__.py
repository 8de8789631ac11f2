"""A user's own images and labels, declared in a small YAML file."""

from frugalmtl.data.datasets.folder.dataset import Folder

__all__ = ["Folder"]
