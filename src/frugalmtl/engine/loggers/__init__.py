"""Loggers: the figures of a run for another program, beside the run's own log; one a file, by Lightning's loggers."""

from frugalmtl.core.registry import Registry

LOGGERS = Registry("frugalmtl.engine.loggers", "logger")

__all__ = ["LOGGERS"]
