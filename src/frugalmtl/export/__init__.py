"""Export formats, one a file: plain module -> file, checked for equal outputs."""

from frugalmtl.core.registry import Registry
from frugalmtl.export.base import Exported, Exporter

EXPORTERS = Registry("frugalmtl.export", "export format")

__all__ = ["EXPORTERS", "Exported", "Exporter"]
