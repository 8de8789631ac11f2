"""One typed config -> objects, runs, comparisons: the one place where packages are wired."""

from frugalmtl.experiment.config.registries import REGISTRIES

__all__ = ["REGISTRIES"]
