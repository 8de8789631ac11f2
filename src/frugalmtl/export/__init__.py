"""Plain module -> file, published only after its outputs were compared with the module's: one format a file."""

from frugalmtl.core.registry import Registry
from frugalmtl.export.base import Exported

EXPORTERS = Registry("frugalmtl.export", "export format")

__all__ = ["EXPORTERS", "Exported"]
