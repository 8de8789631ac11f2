"""Loading: samples -> batches, in this process or by workers."""

from frugalmtl.data.loading.loader import Loader, collate
from frugalmtl.data.loading.workers import Workers, worker_count

__all__ = ["Loader", "Workers", "collate", "worker_count"]
