"""Samples on disk, in files of many records each, and the processes that fill them."""

from frugalmtl.data.shards.cache import Cache, default_folder
from frugalmtl.data.shards.prepare import prepare

__all__ = ["Cache", "default_folder", "prepare"]
