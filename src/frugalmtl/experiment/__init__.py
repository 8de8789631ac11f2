"""One typed config -> objects, runs, comparisons: the one place where rooms are wired."""

from frugalmtl.experiment.config.registries import ROOMS

__all__ = ["ROOMS"]
