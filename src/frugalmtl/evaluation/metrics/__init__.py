"""Metrics, one a file, none named after a task.

Shares lie in [0, 1]; a table multiplies them where it prints per cent.
"""

from frugalmtl.core.registry import Registry
from frugalmtl.evaluation.metrics.base import Score

METRICS = Registry("frugalmtl.evaluation.metrics", "metric")

__all__ = ["METRICS", "Score"]
