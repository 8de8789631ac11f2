"""One typed config -> objects, runs, comparisons: the one place where rooms are wired."""

from frugalmtl.experiment.rooms import ROOMS

__all__ = ["ROOMS"]
